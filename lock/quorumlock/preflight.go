package quorumlock

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Preflight looks at every master, side by side, as [redislock.Backend.Preflight]
// does. A finding names the master by its place in the list, from 0. One that cannot
// be reached is a finding, too, and wraps [lock.ErrUnavailable]; if there is no
// majority, that is the error.
func (b *Backend) Preflight(ctx context.Context) ([]error, error) {
	if err := b.ready(ctx); err != nil {
		return nil, err
	}
	if err := b.start(); err != nil {
		return nil, err
	}
	defer b.work.Done()
	found, missing := make([][]error, len(b.nodes)), make([]error, len(b.nodes))
	var all sync.WaitGroup
	for i, node := range b.nodes {
		all.Go(func() { found[i], missing[i] = node.Preflight(ctx) })
	}
	all.Wait()
	var findings []error
	reached := 0
	for i := range b.nodes {
		if missing[i] == nil {
			reached++
		} else {
			found[i] = append(found[i], missing[i])
		}
		for _, finding := range found[i] {
			findings = append(findings, fmt.Errorf("quorumlock: master %d: %w", i, finding))
		}
	}
	if reached < b.quorum {
		return nil, fmt.Errorf("quorumlock: preflight: %d of %d masters are no majority: %w",
			reached, len(b.nodes), errors.Join(missing...))
	}
	return findings, nil
}

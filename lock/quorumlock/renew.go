package quorumlock

import (
	"context"
	"errors"
	"fmt"

	"github.com/reprise-go/reprise/lock"
)

// tally counts what the masters say about a batch of renewals. Redsync is not asked:
// it would send every renewal by itself, and take no time limit.
type tally struct {
	backend *Backend
	done    []int
	lost    [][]int // masters, by renewal
	errs    [][]error
	open    int // renewals without a decision
}

// vote is what one master says.
type vote struct {
	node    int
	results []lock.RenewResult
}

// Renew implements [lock.Backend]: one script for each master, side by side. It
// returns when a majority has decided about each renewal, or all have answered. A
// lock that the majority confirms is given again to masters that do not know it,
// because they were away or have lost their memory; no other is.
func (b *Backend) Renew(ctx context.Context, renewals []lock.Renewal) []lock.RenewResult {
	n := len(renewals)
	if err := b.ready(ctx); err != nil || n == 0 {
		return failAll(n, err)
	}
	votes := make(chan vote, len(b.nodes))
	for i := range b.nodes {
		if err := b.start(); err != nil {
			return failAll(n, err)
		}
		go func() {
			defer b.work.Done()
			votes <- vote{i, b.renewOn(ctx, i, renewals)}
		}()
	}
	t := &tally{backend: b, done: make([]int, n), lost: make([][]int, n), errs: make([][]error, n), open: n}
	for i := 0; i < len(b.nodes) && t.open > 0; i++ {
		t.count(<-votes)
	}
	t.repair(ctx, renewals)
	return t.results(renewals)
}

func failAll(n int, err error) []lock.RenewResult {
	results := make([]lock.RenewResult, n)
	for i := range results {
		results[i].Err = err
	}
	return results
}

func (b *Backend) renewOn(ctx context.Context, node int, renewals []lock.Renewal) (results []lock.RenewResult) {
	err := b.call(ctx, func(ctx context.Context) error {
		results = b.nodes[node].Renew(ctx, renewals)
		return nil
	})
	if err != nil {
		return failAll(len(renewals), err)
	}
	return results
}

func (t *tally) count(from vote) {
	for i, v := range from.results {
		before := t.decided(i)
		switch {
		case v.Err != nil:
			t.errs[i] = append(t.errs[i], v.Err)
		case v.Lost:
			t.lost[i] = append(t.lost[i], from.node)
		default:
			t.done[i]++
		}
		if !before && t.decided(i) {
			t.open--
		}
	}
}

func (t *tally) decided(i int) bool { return t.renewed(i) || t.gone(i) }

func (t *tally) renewed(i int) bool { return t.done[i] >= t.backend.quorum }

// gone says that the masters that are left are no majority.
func (t *tally) gone(i int) bool { return len(t.lost[i]) > len(t.backend.nodes)-t.backend.quorum }

func (t *tally) results(renewals []lock.Renewal) []lock.RenewResult {
	results := make([]lock.RenewResult, len(renewals))
	for i, r := range renewals {
		switch {
		case t.renewed(i):
		case t.gone(i):
			results[i].Lost = true
		default:
			results[i].Err = fmt.Errorf("quorumlock: renewal of %s: no majority of %d masters has answered: %w",
				r.ID.Short(), len(t.backend.nodes), errors.Join(t.errs[i]...))
		}
	}
	return results
}

// repair claims what the majority has confirmed on the masters that do not know it,
// in the background. One that has the trace of the owner's release refuses.
func (t *tally) repair(ctx context.Context, renewals []lock.Renewal) {
	missing := make(map[int][]lock.Renewal)
	for i, r := range renewals {
		if !t.renewed(i) {
			continue
		}
		for _, node := range t.lost[i] {
			missing[node] = append(missing[node], r)
		}
	}
	for node, lost := range missing {
		if t.backend.start() != nil {
			return
		}
		go func() {
			defer t.backend.work.Done()
			t.backend.claimAgain(context.WithoutCancel(ctx), node, lost)
		}()
	}
}

// claimAgain stops at the first call without an answer: the next renewal comes by.
func (b *Backend) claimAgain(ctx context.Context, node int, lost []lock.Renewal) {
	for _, r := range lost {
		err := b.call(ctx, func(ctx context.Context) error {
			_, err := b.nodes[node].Acquire(ctx, r.ID, lock.Claim{Owner: r.Owner, Lease: r.Lease})
			return err
		})
		if err != nil {
			return
		}
	}
}

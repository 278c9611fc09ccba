package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
)

// backend is the server that several nodes share: records under [store.Step],
// and a clock that may differ from everybody else's.
type backend struct {
	mu      sync.Mutex
	records map[store.ID]store.Record
	offset  time.Duration
	ended   []func(store.ID) // told when somebody waited for what ended
}

func newBackend() *backend { return &backend{records: make(map[store.ID]store.Record)} }

func (b *backend) now() store.Instant {
	return store.Instant(time.Now().Add(b.offset).UnixMicro())
}

func (b *backend) step(id store.ID, event store.Event) store.Reply {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.records[id].Live(b.now())
	next, reply := store.Step(was, event, b.now())
	b.records[id] = next
	if was.Waiters && !next.Waiters {
		for _, tell := range b.ended {
			tell(id)
		}
	}
	return reply
}

func (b *backend) onEnd(tell func(store.ID)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = append(b.ended, tell)
}

func (b *backend) lookup(id store.ID) store.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.records[id].Live(b.now())
}

// flush is FLUSHALL.
func (b *backend) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.records)
}

// setClock sets how far the server's clock is ahead of the nodes'.
func (b *backend) setClock(offset time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.offset = offset
}

// only returns the one record that there is.
func (b *backend) only(t *testing.T) (store.ID, store.Record) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Len(t, b.records, 1)
	id := slices.Collect(maps.Keys(b.records))[0]
	return id, b.records[id].Live(b.now())
}

func (b *backend) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.records)
}

// fault is what happens to one call on its way; execute is the server's part.
type fault func(ctx context.Context, execute func() store.Reply) (store.Reply, error)

func noFault(_ context.Context, execute func() store.Reply) (store.Reply, error) {
	return execute(), nil
}

func lostRequest(context.Context, func() store.Reply) (store.Reply, error) {
	return store.Reply{}, fmt.Errorf("%w: connection refused", store.ErrUnavailable)
}

func lostReply(_ context.Context, execute func() store.Reply) (store.Reply, error) {
	execute()
	return store.Reply{}, fmt.Errorf("%w: connection reset", store.ErrUnavailable)
}

func readOnly(context.Context, func() store.Reply) (store.Reply, error) {
	return store.Reply{}, fmt.Errorf("%w: READONLY You can't write against a read only replica", store.ErrUnavailable)
}

func unreadable(context.Context, func() store.Reply) (store.Reply, error) {
	return store.Reply{}, fmt.Errorf("%w: format 9", store.ErrUnreadable)
}

func hang(ctx context.Context, _ func() store.Reply) (store.Reply, error) {
	<-ctx.Done()
	return store.Reply{}, fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
}

// late fails at once and is executed all the same, after a while.
func late(after time.Duration) fault {
	return func(_ context.Context, execute func() store.Reply) (store.Reply, error) {
		time.AfterFunc(after, func() { execute() })
		return store.Reply{}, fmt.Errorf("%w: timeout", store.ErrUnavailable)
	}
}

// slow delays the reply of a call that is executed at once.
func slow(delay time.Duration) fault {
	return func(ctx context.Context, execute func() store.Reply) (store.Reply, error) {
		reply := execute()
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			return reply, nil
		case <-ctx.Done():
			return store.Reply{}, fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
		}
	}
}

// says answers without asking the server.
func says(verdict store.Verdict) fault {
	return func(context.Context, func() store.Reply) (store.Reply, error) {
		return store.Reply{Verdict: verdict}, nil
	}
}

// node is one process's connection to a backend, and a [store.Store].
type node struct {
	backend *backend

	mu    sync.Mutex
	queue map[string][]fault // for the next calls of an event
	rule  map[string]fault   // for all other calls of an event
	calls map[string]int
}

func newNode(b *backend) *node {
	return &node{
		backend: b,
		queue:   make(map[string][]fault),
		rule:    make(map[string]fault),
		calls:   make(map[string]int),
	}
}

var events = []string{"claim", "renew", "mark", "complete", "fail", "release", "lookup"}

// next lets the following calls of an event meet these faults, one each.
func (n *node) next(event string, faults ...fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queue[event] = append(n.queue[event], faults...)
}

// always lets all calls of these events meet a fault until repair; all events
// if none is named.
func (n *node) always(f fault, names ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(names) == 0 {
		names = events
	}
	for _, name := range names {
		n.rule[name] = f
	}
}

func (n *node) repair() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.rule)
	clear(n.queue)
}

// take counts a call and returns its fault.
func (n *node) take(event string) fault {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls[event]++
	if queue := n.queue[event]; len(queue) > 0 {
		n.queue[event] = queue[1:]
		return queue[0]
	}
	if f := n.rule[event]; f != nil {
		return f
	}
	return noFault
}

// count returns how many calls of an event there were; of all if it is "".
func (n *node) count(event string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if event != "" {
		return n.calls[event]
	}
	sum := 0
	for _, calls := range n.calls {
		sum += calls
	}
	return sum
}

func (n *node) Apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	if err := store.Validate(event); err != nil {
		return store.Reply{}, err
	}
	return n.take(event.Name())(ctx, func() store.Reply { return n.backend.step(id, event) })
}

func (n *node) Renew(ctx context.Context, renewals []store.Renewal) []store.RenewResult {
	results := make([]store.RenewResult, len(renewals))
	for i, r := range renewals {
		results[i].Reply, results[i].Err = n.Apply(ctx, r.ID, r.Renew)
	}
	return results
}

func (n *node) Lookup(ctx context.Context, id store.ID) (store.Record, error) {
	var rec store.Record
	_, err := n.take("lookup")(ctx, func() store.Reply {
		rec = n.backend.lookup(id)
		return store.Reply{}
	})
	return rec, err
}

// examined is a node whose backend can be examined.
type examined struct {
	*node
	mu       sync.Mutex
	findings []error
	err      error
	hangs    bool
	checks   int
}

func (e *examined) set(findings []error, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.findings, e.err = findings, err
}

func (e *examined) Preflight(ctx context.Context) ([]error, error) {
	e.mu.Lock()
	findings, err, hangs := e.findings, e.err, e.hangs
	e.checks++
	e.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
	}
	return findings, err
}

func (e *examined) checked() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.checks
}

var errEvicts = errors.New("maxmemory-policy is allkeys-lru")

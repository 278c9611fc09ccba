package idempotency_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// wire carries the notifications of a backend to the nodes that listen.
type wire struct {
	mu      sync.Mutex
	watches map[*watch]bool
	delay   time.Duration // of every signal, the first one included
	deaf    bool
}

type watch struct {
	wire    *wire
	id      store.ID
	signals chan struct{}
}

func newWire() *wire { return &wire{watches: make(map[*watch]bool)} }

func (w *wire) tell(id store.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for watch := range w.watches {
		if watch.id == id && !w.deaf {
			w.signal(watch)
		}
	}
}

func (w *wire) signal(watch *watch) {
	time.AfterFunc(w.delay, func() {
		select {
		case watch.signals <- struct{}{}:
		default:
		}
	})
}

func (w *wire) listening() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.watches)
}

func (w *watch) Signals() <-chan struct{} { return w.signals }

func (w *watch) Close() {
	w.wire.mu.Lock()
	defer w.wire.mu.Unlock()
	delete(w.wire.watches, w)
}

// listening is a node on which the end of attempts is heard.
type listeningNode struct {
	*node
	wire *wire
}

func (n *listeningNode) Watch(id store.ID) store.Watch {
	n.wire.mu.Lock()
	defer n.wire.mu.Unlock()
	w := &watch{wire: n.wire, id: id, signals: make(chan struct{}, 1)}
	n.wire.watches[w] = true
	if !n.wire.deaf {
		n.wire.signal(w)
	}
	return w
}

// startListening starts a process on a node that hears of the end of attempts.
func startListening(t *testing.T, b *backend, opts ...idempotency.Option) (*process, *wire) {
	t.Helper()
	p := &process{node: newNode(b), trace: &recorder{}, log: &logs{}}
	heard := newWire()
	b.onEnd(heard.tell)
	p.guard = guardOn(t, &listeningNode{p.node, heard}, append([]idempotency.Option{
		idempotency.WithLogger(p.log.logger()),
		idempotency.WithTrace(p.trace.hooks()),
	}, opts...)...)
	return p, heard
}

// waits is a policy by which duplicates wait so long.
func waits(d time.Duration) idempotency.Policy { return idempotency.Policy{Wait: d} }

// duplicates begins n executions of the same call.
func duplicates(
	ctx context.Context, n int, op *idempotency.Operation, run func(context.Context) idempotency.Answer,
) []*running {
	all := make([]*running, n)
	for i := range all {
		all[i] = begin(ctx, op, call("k"), run)
	}
	return all
}

// allReplay asserts that each of them got the answer as a replay.
func allReplay(t *testing.T, all []*running, body string) {
	t.Helper()
	for _, r := range all {
		result, err := r.wait()
		require.NoError(t, err)
		require.Equal(t, idempotency.Replayed, result.Outcome)
		require.Equal(t, body, string(result.Answer.Body))
	}
}

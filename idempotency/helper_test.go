package idempotency_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// lease is what most tests use: renewals are due after a little more than 1 s,
// and it is given up 2.82 s after its last confirmation was sent.
const lease = 3 * time.Second

// process is one process with a guard, on a node of its own.
type process struct {
	node  *node
	guard *idempotency.Guard
	trace *recorder
	log   *logs
}

// start starts a process on a backend, shut down when the test ends.
func start(t *testing.T, b *backend, opts ...idempotency.Option) *process {
	t.Helper()
	p := &process{node: newNode(b), trace: &recorder{}, log: &logs{}}
	p.guard = guardOn(t, p.node, append([]idempotency.Option{
		idempotency.WithLogger(p.log.logger()),
		idempotency.WithTrace(p.trace.hooks()),
	}, opts...)...)
	return p
}

func guardOn(t *testing.T, st store.Store, opts ...idempotency.Option) *idempotency.Guard {
	t.Helper()
	guard, err := idempotency.New(st, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, guard.Shutdown(context.Background())) })
	return guard
}

// operation registers "pay" with the tests' lease, unless the policy has one.
func (p *process) operation(t *testing.T, policies ...idempotency.Policy) *idempotency.Operation {
	t.Helper()
	policy := idempotency.Policy{Lease: lease}
	for _, over := range policies {
		policy = policy.Override(over)
	}
	op, err := p.guard.Operation("pay", policy)
	require.NoError(t, err)
	return op
}

func call(key string) idempotency.Call {
	return idempotency.Call{Scope: "tenant", Key: key, Fingerprint: fingerprint("body")}
}

func fingerprint(body string) store.Fingerprint {
	return store.Fingerprint{Algorithm: "sha256", Sum: sha256.Sum256([]byte(body))}
}

func answer(class idempotency.Class, body string) idempotency.Answer {
	return idempotency.Answer{Class: class, Answer: store.Answer{
		Codec: "test", Meta: []byte("meta"), Body: []byte(body),
	}}
}

func recorded(body string) idempotency.Answer { return answer(idempotency.ClassRecord, body) }

// gives is a handler that answers at once.
func gives(a idempotency.Answer) func(context.Context) idempotency.Answer {
	return func(context.Context) idempotency.Answer { return a }
}

// takes is a handler that needs so long.
func takes(d time.Duration, body string) func(context.Context) idempotency.Answer {
	return func(context.Context) idempotency.Answer {
		time.Sleep(d)
		return recorded(body)
	}
}

// forbidden is a handler that must not run.
func forbidden(t *testing.T) func(context.Context) idempotency.Answer {
	return func(context.Context) idempotency.Answer {
		assert.Fail(t, "the handler ran")
		return recorded("forbidden")
	}
}

// work is a handler that goes on until it is told to end, whatever its context
// says.
type work struct {
	runs atomic.Int32
	end  chan idempotency.Answer

	mu  sync.Mutex
	ctx context.Context
}

// newWork returns a handler that ends with its test at the latest.
func newWork(t *testing.T) *work {
	w := &work{end: make(chan idempotency.Answer)}
	t.Cleanup(func() { close(w.end) })
	return w
}

func (w *work) run(ctx context.Context) idempotency.Answer {
	w.runs.Add(1)
	w.mu.Lock()
	w.ctx = ctx
	w.mu.Unlock()
	return <-w.end
}

// context returns the context of the latest run.
func (w *work) context() context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ctx
}

// running is an execution on a goroutine of its own.
type running struct {
	done   chan struct{}
	result idempotency.Result
	err    error
}

func begin(
	ctx context.Context, op *idempotency.Operation, c idempotency.Call, run func(context.Context) idempotency.Answer,
) *running {
	r := &running{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.result, r.err = op.Execute(ctx, c, run)
	}()
	return r
}

func (r *running) wait() (idempotency.Result, error) {
	<-r.done
	return r.result, r.err
}

// refusal returns the error of a refused execution.
func refusal(t *testing.T, err error, code idempotency.Code) *idempotency.Error {
	t.Helper()
	require.ErrorIs(t, err, code)
	var refused *idempotency.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, code, refused.Code)
	return refused
}

// recorder keeps what the hooks were told.
type recorder struct {
	mu       sync.Mutex
	finished []idempotency.Finished
	lost     []idempotency.LeaseLost
	settled  []idempotency.LateEnding
}

func (r *recorder) hooks() idempotency.Trace {
	return idempotency.Trace{
		Finished:   func(_ context.Context, f idempotency.Finished) { note(r, &r.finished, f) },
		LeaseLost:  func(l idempotency.LeaseLost) { note(r, &r.lost, l) },
		LateEnding: func(s idempotency.LateEnding) { note(r, &r.settled, s) },
	}
}

func note[T any](r *recorder, list *[]T, item T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*list = append(*list, item)
}

func told[T any](r *recorder, list *[]T) []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]T(nil), *list...)
}

func (r *recorder) allFinished() []idempotency.Finished      { return told(r, &r.finished) }
func (r *recorder) allLateEndings() []idempotency.LateEnding { return told(r, &r.settled) }

// allLost waits for the watchdog's goroutine, which cancels the handler first.
// It works in a bubble only.
func (r *recorder) allLost() []idempotency.LeaseLost {
	synctest.Wait()
	return told(r, &r.lost)
}

// logs keeps what was logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *logs) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(line)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

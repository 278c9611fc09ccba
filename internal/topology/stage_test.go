package topology_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

const (
	processes = 2
	workers   = 6
	lease     = 10 * time.Second
	// backWithin is how soon there has to be service after a failure that is over.
	backWithin = 20 * time.Second
)

// stage is a service of two processes, as far as Redis can tell.
type stage struct {
	stores []*redisstore.Store
	guards []*idempotency.Guard
	ops    []*idempotency.Operation
	ledger *ledger
	lost   atomic.Int64 // leases, as the hook tells
	late   atomic.Int64 // answers that were recorded after they were given
	keys   atomic.Int64
}

// newStage starts the processes, each with a client of its own.
func newStage(t *testing.T, connect func() redis.UniversalClient, opts ...redisstore.Option) *stage {
	t.Helper()
	s := &stage{ledger: newLedger()}
	for range processes {
		s.join(t, connect(), opts)
	}
	return s
}

// join starts one more process.
func (s *stage) join(
	t *testing.T, rdb redis.UniversalClient, opts []redisstore.Option, more ...idempotency.Option,
) {
	t.Helper()
	st, err := redisstore.New(rdb, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, st.Close()) })
	guard, err := idempotency.New(st, append(more,
		idempotency.WithLogger(slog.New(slog.DiscardHandler)),
		idempotency.WithTrace(s.hooks()))...)
	require.NoError(t, err)
	t.Cleanup(func() { shutdown(guard) })
	op, err := guard.Operation("pay", idempotency.Policy{Lease: lease})
	require.NoError(t, err)
	s.stores, s.guards, s.ops = append(s.stores, st), append(s.guards, guard), append(s.ops, op)
}

func (s *stage) hooks() idempotency.Trace {
	return idempotency.Trace{
		LeaseLost: func(idempotency.LeaseLost) { s.lost.Add(1) },
		LateEnding: func(l idempotency.LateEnding) {
			if l.Event == "complete" && l.Err == nil {
				s.late.Add(1)
			}
		},
	}
}

// shutdown gives what is pending little time: the Redis that it is for may be gone.
func shutdown(guard *idempotency.Guard) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = guard.Shutdown(ctx)
}

// newKey returns a key that nobody has used.
func (s *stage) newKey() string { return fmt.Sprint("key-", s.keys.Add(1)) }

// ask sends a request and notes what its caller may rely on.
func (s *stage) ask(ctx context.Context, key string) (idempotency.Result, error) {
	return s.askFor(ctx, key, func(context.Context) {})
}

// askFor sends a request whose handler does something after its effect.
func (s *stage) askFor(
	ctx context.Context, key string, then func(context.Context),
) (idempotency.Result, error) {
	op := s.ops[rand.IntN(len(s.ops))]
	result, err := op.Execute(ctx, idempotency.Call{Scope: "tenant", Key: key},
		func(ctx context.Context) idempotency.Answer {
			body := s.ledger.run(key)
			defer s.ledger.leave(key)
			then(ctx)
			return idempotency.Answer{
				Class:  idempotency.ClassRecord,
				Answer: store.Answer{Codec: "test", Body: []byte(body)},
			}
		})
	if err == nil && result.Recorded {
		s.ledger.told(key, string(result.Answer.Body))
	}
	return result, err
}

// serves waits until new keys are answered again.
func (s *stage) serves(t *testing.T) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		result, err := s.ask(t.Context(), s.newKey())
		if assert.NoError(c, err) {
			assert.True(c, result.Recorded)
		}
	}, backWithin, 20*time.Millisecond, "service is back")
}

// quarantines waits until new keys are refused for long.
func (s *stage) quarantines(t *testing.T) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		_, err := s.ask(t.Context(), s.newKey())
		assert.ErrorIs(c, err, redisstore.ErrQuarantine)
		var refused *idempotency.Error
		if assert.ErrorAs(c, err, &refused) {
			assert.Greater(c, refused.RetryAfter, quarantine/2, "the refusal says for how long")
		}
	}, backWithin, 20*time.Millisecond, "new claims are refused")
}

// bless accepts the memory as it is. For up to a second after Redis is back, a
// client goes on saying that its connection is refused.
func (s *stage) bless(t *testing.T) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.NoError(c, s.stores[0].Bless(t.Context()))
	}, backWithin, 20*time.Millisecond)
}

// load is requests of several callers, each of whom now and then repeats one that
// somebody has sent.
type load struct {
	stage   *stage
	stop    context.CancelFunc
	callers sync.WaitGroup

	answered, refused atomic.Int64

	mu   sync.Mutex
	sent []string
	hot  []string // sent by somebody else, and repeated often
}

// load begins sending. Its end is the caller's to call.
func (s *stage) load(t *testing.T) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{stage: s, stop: cancel}
	for range workers {
		l.callers.Go(func() { l.call(ctx) })
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) call(ctx context.Context) {
	pace := time.NewTicker(4 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		if _, err := l.stage.ask(context.WithoutCancel(ctx), l.key()); err != nil {
			l.refused.Add(1)
			continue
		}
		l.answered.Add(1)
	}
}

// key draws a new key, or one that was sent before.
func (l *load) key() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.hot); n > 0 && rand.IntN(4) == 0 {
		return l.hot[rand.IntN(n)]
	}
	if n := len(l.sent); n > 0 && rand.IntN(2) == 0 {
		return l.sent[rand.IntN(n)]
	}
	key := l.stage.newKey()
	l.sent = append(l.sent, key)
	return key
}

// answers waits until so many more requests were answered.
func (l *load) answers(t *testing.T, more int64) {
	t.Helper()
	grows(t, &l.answered, more)
}

// isRefused waits until so many more requests were refused.
func (l *load) isRefused(t *testing.T, more int64) {
	t.Helper()
	grows(t, &l.refused, more)
}

func grows(t *testing.T, n *atomic.Int64, more int64) {
	t.Helper()
	want := n.Load() + more
	require.Eventually(t, func() bool { return n.Load() >= want }, backWithin, 5*time.Millisecond)
}

// end stops sending and waits for the callers.
func (l *load) end() {
	l.stop()
	l.callers.Wait()
}

// again sends every key once more and returns how many that had an effect were
// refused because of a quarantine.
func (l *load) again(t *testing.T) (quarantined int) {
	t.Helper()
	for _, key := range l.sent {
		ran := l.stage.ledger.ran(key)
		_, err := l.stage.ask(t.Context(), key)
		if ran && errors.Is(err, redisstore.ErrQuarantine) {
			quarantined++
		}
	}
	return quarantined
}

// hottest is how many keys are repeated often at once.
const hottest = 3

// repeat makes the callers repeat a key, too, and often until later ones come.
func (l *load) repeat(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, key)
	l.hot = append(l.hot, key)
	l.hot = l.hot[max(0, len(l.hot)-hottest):]
}

package conformance_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// A packet of a deposed owner that arrives after the take-over changes nothing
// of the record, not even its time to live.
func TestL9_LatePacketsOfADeposedOwnerChangeNothing(t *testing.T) {
	t.Parallel()
	srv := shared.Server(t)
	loadScripts(t, srv)
	tests := []struct {
		name   string
		answer int // of the first handler; 0 if it never gives one in time
	}{
		{"renewal", 0},
		{"completion", 201},
		{"release", 503},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ns := namespaceOf(t)
			started, goOn := make(chan struct{}, 1), make(chan int)
			zombie := newNode(t, srv, setup{
				namespace: ns,
				policy:    idempotency.Policy{Lease: 600 * time.Millisecond, Orphan: idempotency.OrphanRerun},
				handler: func(w http.ResponseWriter, _ *http.Request) {
					started <- struct{}{}
					select {
					case status := <-goOn:
						w.WriteHeader(status)
					case <-t.Context().Done():
					}
				},
			})
			handler, took, finish := blocking(t)
			heir := newService(t, setup{
				namespace: ns, handler: handler,
				policy: idempotency.Policy{Lease: time.Minute, Orphan: idempotency.OrphanRerun},
			})
			c := call{key: newKey()}
			first := background(t, zombie.URL, c)
			<-started
			packet := zombie.line.Hold(idOf(c.key).String(), 1)
			if test.answer != 0 {
				goOn <- test.answer
			}
			next(t, "the packet", packet.First())
			zombie.line.Partition() // or its next try would get through
			second := afterLease(t, heir.URL, c)
			next(t, "the take-over", took)

			rdb := srv.Client(t)
			name := recordName(ns, idOf(c.key))
			before, ttl := rdb.Get(t.Context(), name).Val(), rdb.PTTL(t.Context(), name).Val()
			require.NotEmpty(t, before)
			packet.Deliver()
			assert.Equal(t, before, rdb.Get(t.Context(), name).Val())
			assert.LessOrEqual(t, rdb.PTTL(t.Context(), name).Val(), ttl)

			zombie.line.Heal()
			if test.answer == 0 {
				goOn <- 201
			}
			assert.NotEqual(t, "executed", (<-first).Header.Get("Idempotency-Status"))
			assert.Equal(t, before, rdb.Get(t.Context(), name).Val())
			close(finish)
			answer := <-second
			requireExecuted(t, answer)
			requireReplay(t, answer, send(t, zombie.URL, c))
		})
	}
}

func TestL10_AnswerOfADeposedOwner(t *testing.T) {
	t.Parallel()
	const lease = 500 * time.Millisecond
	tests := []struct {
		name string
		// meanwhile happens after the lease has lapsed and before the first
		// owner's handler returns.
		meanwhile func(t *testing.T, heir *service, took chan context.Context, finish chan struct{}, c call) <-chan response
		check     func(t *testing.T, first, second response)
	}{
		{
			name: "nobody took over",
			meanwhile: func(t *testing.T, _ *service, _ chan context.Context, _ chan struct{}, _ call) <-chan response {
				time.Sleep(lease) // until it has lapsed for certain
				return nil
			},
			check: func(t *testing.T, first, _ response) {
				requireExecuted(t, first)
				assert.Equal(t, "zombie", first.Body)
			},
		},
		{
			name: "somebody took over and is done",
			meanwhile: func(t *testing.T, heir *service, took chan context.Context, finish chan struct{}, c call) <-chan response {
				close(finish)
				answer := <-afterLease(t, heir.URL, c)
				done := make(chan response, 1)
				done <- answer
				return done
			},
			check: func(t *testing.T, first, second response) {
				requireExecuted(t, second)
				requireReplay(t, second, first)
				assert.Equal(t, "done", first.Body)
			},
		},
		{
			name: "somebody took over and runs",
			meanwhile: func(t *testing.T, heir *service, took chan context.Context, _ chan struct{}, c call) <-chan response {
				second := afterLease(t, heir.URL, c)
				next(t, "the take-over", took)
				return second
			},
			check: func(t *testing.T, first, second response) {
				p := requireProblem(t, first, 503, "lease_lost")
				assert.True(t, p.Retryable)
				assert.Equal(t, "unknown", first.Header.Get("Idempotency-Status"))
				assert.NotEmpty(t, first.Header.Get("Retry-After"))
				requireExecuted(t, second)
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ns := namespaceOf(t)
			policy := idempotency.Policy{Lease: lease, Orphan: idempotency.OrphanRerun}
			log := new(lockedBuffer)
			started, goOn := make(chan context.Context, 1), make(chan struct{})
			zombie := newNode(t, shared.Server(t), setup{
				namespace: ns, policy: policy,
				guard: []idempotency.Option{idempotency.WithLogger(slog.New(slog.NewJSONHandler(log, nil)))},
				handler: func(w http.ResponseWriter, r *http.Request) {
					started <- r.Context()
					select {
					case <-goOn:
					case <-t.Context().Done():
					}
					_, _ = io.WriteString(w, "zombie")
				},
			})
			handler, took, finish := blocking(t)
			heir := newService(t, setup{namespace: ns, policy: policy, handler: handler})
			c := call{key: newKey()}
			answer := background(t, zombie.URL, c)
			ctx := <-started
			zombie.line.Partition()
			next(t, "the cancellation", ctx.Done())
			second := test.meanwhile(t, heir, took, finish, c)
			zombie.line.Heal()
			close(goOn)
			first := <-answer
			var other response
			if second != nil {
				if first.Status == 503 {
					close(finish)
				}
				other = <-second
			}
			test.check(t, first, other)
			next(t, "the hook", zombie.events.lost)
			assert.Contains(t, log.String(), "lease lost")
			final := send(t, heir.URL, c)
			assert.Equal(t, "replayed", final.Header.Get("Idempotency-Status"), "one recorded answer")
		})
	}
}

// The store keeps its own time. Here it is an hour off from the nodes', which
// is all that a node with a wrong clock can see of it.
func TestL18_F59_NodeAnHourOffTheStoresClock(t *testing.T) {
	t.Parallel()
	const lease = 400 * time.Millisecond
	for name, off := range map[string]time.Duration{"behind": time.Hour, "ahead": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb := clockOff(t, off)
			policy := idempotency.Policy{Lease: lease, Orphan: idempotency.OrphanRerun}
			handler, started, goOn := blocking(t)
			node := newService(t, setup{redis: rdb, namespace: "n", policy: policy, handler: handler})
			other := newService(t, setup{redis: rdb, namespace: "n", policy: policy})
			c := call{key: newKey()}
			first := background(t, node.URL, c)
			ctx := <-started
			for end := time.Now().Add(3 * lease); time.Now().Before(end); {
				requireProblem(t, send(t, other.URL, c), 409, "in_progress")
				time.Sleep(lease / 10) // the handler's work
			}
			require.NoError(t, ctx.Err(), "no early expiry")
			rec := lookup(t, openRedis(t, rdb, "n"), idOf(c.key))
			assert.WithinDuration(t, time.Now().Add(off), rec.Started.Time(), time.Minute)
			close(goOn)
			answer := <-first
			requireExecuted(t, answer)
			requireReplay(t, answer, send(t, other.URL, c))
			assert.Zero(t, other.Runs(), "no early take-over")
		})
	}
}

// clockOff returns a client of a Redis whose clock runs off from this process's.
func clockOff(t *testing.T, off time.Duration) *redis.Client {
	t.Helper()
	server := miniredis.RunT(t)
	ticker := time.NewTicker(time.Millisecond)
	stop, stopped := make(chan struct{}), make(chan struct{})
	set := func() { server.SetTime(time.Now().Add(off)) }
	set()
	go func() {
		defer close(stopped)
		for {
			select {
			case <-ticker.C:
				set()
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() {
		ticker.Stop()
		close(stop)
		<-stopped
	})
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// On a real server, all times of a record are the server's.
func TestL18_RecordHoldsTheServersTimes(t *testing.T) {
	t.Parallel()
	srv := shared.Server(t)
	rdb := srv.Client(t)
	ns := namespaceOf(t)
	now := func() store.Instant { return store.Instant(rdb.Time(t.Context()).Val().UnixMicro()) }
	handler, started, goOn := blocking(t)
	s := newService(t, setup{namespace: ns, handler: handler, policy: idempotency.Policy{Lease: 5 * time.Second}})
	st := openRedis(t, rdb, ns)
	c := call{key: newKey()}
	before := now()
	answer := background(t, s.URL, c)
	<-started
	rec := lookup(t, st, idOf(c.key))
	after := now()
	for name, at := range map[string]store.Instant{
		"created": rec.Created, "started": rec.Started, "token": store.Instant(rec.Token), "claimed": rec.LeaseEnd.Add(-rec.Lease),
	} {
		assert.GreaterOrEqual(t, at, before, name)
		assert.LessOrEqual(t, at, after, name)
	}
	close(goOn)
	requireExecuted(t, <-answer)
	rec = lookup(t, st, idOf(c.key))
	assert.GreaterOrEqual(t, rec.Finished, after)
	assert.LessOrEqual(t, rec.Finished, now())
}

func TestL19_ContradictoryTimesAreRefusedAtConstruction(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		policy idempotency.Policy
		fields []string
	}{
		{"lease as long as the retention", idempotency.Policy{Lease: time.Minute, Retention: time.Minute}, []string{"Lease", "Retention"}},
		{"lease longer than the retention", idempotency.Policy{Lease: time.Hour, MaxHold: time.Hour, Retention: time.Minute}, []string{"Lease", "Retention"}},
		{"lease too short to be renewed", idempotency.Policy{Lease: 99 * time.Millisecond}, []string{"Lease"}},
		{"negative lease", idempotency.Policy{Lease: -time.Second}, []string{"Lease"}},
		{"hold shorter than the lease", idempotency.Policy{Lease: time.Minute, MaxHold: 59 * time.Second}, []string{"MaxHold", "Lease"}},
		{"retention too short", idempotency.Policy{Lease: 100 * time.Millisecond, Retention: 999 * time.Millisecond}, []string{"Retention"}},
		{"retention too long", idempotency.Policy{Retention: 30*24*time.Hour + 1}, []string{"Retention"}},
		{"least retention above the retention", idempotency.Policy{Retention: time.Hour, MinRetention: 2 * time.Hour}, []string{"MinRetention"}},
	}
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = rdb.Close() })
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			st, err := redisstore.New(rdb)
			require.NoError(t, err)
			t.Cleanup(func() { _ = st.Close() })
			_, err = idempotency.New(st, idempotency.WithPolicy(test.policy))
			requireNames(t, err, test.fields...)

			guard, err := idempotency.New(st, idempotency.WithLogger(slog.New(slog.DiscardHandler)))
			require.NoError(t, err)
			t.Cleanup(func() { _ = guard.Shutdown(context.Background()) })
			mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
			require.NoError(t, err)
			err = mw.Handle(http.NewServeMux(), "POST /orders", http.NotFoundHandler(), test.policy)
			requireNames(t, err, append(test.fields, "POST /orders")...)
		})
	}
}

func requireNames(t *testing.T, err error, words ...string) {
	t.Helper()
	require.Error(t, err)
	for _, word := range words {
		assert.ErrorContains(t, err, word)
	}
}

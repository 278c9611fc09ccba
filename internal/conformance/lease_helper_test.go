package conformance_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
)

// node is a service whose way to Redis can be disturbed.
type node struct {
	*service
	line   *faultproxy.Proxy
	events *events
}

func newNode(t *testing.T, srv *redistest.Server, with setup, mutators ...func(*redis.Options)) *node {
	t.Helper()
	n := &node{line: faultproxy.Start(t, srv.Addr()), events: newEvents()}
	over := func(o *redis.Options) { o.Addr = n.line.Addr() }
	with.redis = srv.Client(t, append(mutators, over)...)
	with.guard = append(with.guard, idempotency.WithTrace(n.events.trace()))
	n.service = newService(t, with)
	return n
}

func withoutRetries(o *redis.Options) { o.MaxRetries = -1 }

// events collects what the trace hooks tell.
type events struct {
	finished chan idempotency.Finished
	lost     chan idempotency.LeaseLost
	settled  chan idempotency.LateEnding
}

func newEvents() *events {
	const plenty = 5000
	return &events{
		finished: make(chan idempotency.Finished, plenty),
		lost:     make(chan idempotency.LeaseLost, plenty),
		settled:  make(chan idempotency.LateEnding, plenty),
	}
}

func (e *events) trace() idempotency.Trace {
	return idempotency.Trace{
		Finished:   func(_ context.Context, f idempotency.Finished) { e.finished <- f },
		LeaseLost:  func(l idempotency.LeaseLost) { e.lost <- l },
		LateEnding: func(s idempotency.LateEnding) { e.settled <- s },
	}
}

// next waits for the next of some events, for a bounded time.
func next[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(15 * time.Second):
		require.Fail(t, "waited in vain", what)
		panic("unreachable")
	}
}

// idOf names the record of R.
func idOf(key string) store.ID { return store.NewID("tenant-", "POST /orders", key) }

// recordName is the key in Redis under which a record is.
func recordName(namespace string, id store.ID) string { return namespace + ":{" + id.String() + "}" }

// lookup reads a record past the service that made it.
func lookup(t *testing.T, st store.Store, id store.ID) store.Record {
	t.Helper()
	rec, err := st.Lookup(t.Context(), id)
	require.NoError(t, err)
	return rec
}

// afterLease repeats a call for as long as it is told that another attempt is
// running, and gives the first other answer.
func afterLease(t *testing.T, url string, c call) <-chan response {
	t.Helper()
	answers := make(chan response, 1)
	go func() {
		deadline := time.Now().Add(15 * time.Second)
		for {
			resp, err := trySend(t, url, c)
			assert.NoError(t, err)
			over := time.Now().After(deadline)
			if resp.Header.Get("Idempotency-Status") != "conflict" || over {
				assert.False(t, over, "the lease does not end")
				answers <- resp
				return
			}
			time.Sleep(20 * time.Millisecond) // between two polls
		}
	}()
	return answers
}

// loadScripts has a server know all scripts, so that each event is one request
// and can be told by its number.
func loadScripts(t *testing.T, srv *redistest.Server) {
	t.Helper()
	st := openRedis(t, srv.Client(t), namespaceOf(t))
	_, err := st.Preflight(t.Context())
	require.NoError(t, err)
	for name, end := range map[string]func(store.Attempt) store.Event{
		"small": func(a store.Attempt) store.Event {
			return store.Complete{Attempt: a, Answer: store.Answer{Codec: "test"}}
		},
		"large": func(a store.Attempt) store.Event {
			return store.Complete{Attempt: a, Answer: store.Answer{Codec: "test", Body: make([]byte, 10_000)}}
		},
		"fail":    func(a store.Attempt) store.Event { return store.Fail{Attempt: a} },
		"release": func(a store.Attempt) store.Event { return store.Release{Attempt: a} },
	} {
		id := store.NewID("scope", "load", name)
		claim := store.Claim{
			Owner: store.NewOwner(), Fingerprint: store.Fingerprint{Algorithm: store.NoFingerprint},
			Operation: "load", Lease: time.Minute, Retention: time.Hour,
		}
		reply, err := st.Apply(t.Context(), id, claim)
		require.NoError(t, err)
		attempt := store.Attempt{
			Owner: claim.Owner, Token: reply.Token, Number: reply.Attempt, Started: reply.Started,
			Lease: claim.Lease, Retention: claim.Retention, Fingerprint: claim.Fingerprint, Operation: claim.Operation,
		}
		renew := store.Renew{Owner: claim.Owner, Lease: claim.Lease, Retention: claim.Retention}
		for _, event := range []store.Event{store.Mark{Owner: claim.Owner}, renew, end(attempt)} {
			reply, err := st.Apply(t.Context(), id, event)
			require.NoError(t, err)
			require.Equal(t, store.Done, reply.Verdict)
		}
	}
}

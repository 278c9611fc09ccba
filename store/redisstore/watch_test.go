package redisstore_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// patient is far longer than a signal takes on the busiest machine.
const patient = 20 * time.Second

// awaits wants a signal.
func awaits(t testing.TB, w store.Watch) {
	t.Helper()
	timer := time.NewTimer(patient)
	defer timer.Stop()
	select {
	case <-w.Signals():
	case <-timer.C:
		require.FailNow(t, "no signal")
	}
}

// signalled reports whether there is a signal now, and takes it.
func signalled(w store.Watch) bool {
	select {
	case <-w.Signals():
		return true
	default:
		return false
	}
}

// subscribers returns how many connections have subscriptions.
func subscribers(srv *redistest.Server) int {
	return strings.Count(fmt.Sprint(srv.Do("client", "list", "type", "pubsub")), "id=")
}

// channels returns how many channels somebody is subscribed to.
func channels(srv *redistest.Server) int {
	return len(srv.Do("pubsub", "channels").([]any))
}

func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, patient, 10*time.Millisecond, what)
}

// The way of a waiter: watch, a signal, a claim that waits, a signal when the
// attempt has ended, however it did.
func TestWatchIsToldWhenTheAttemptEnds(t *testing.T) {
	t.Parallel()
	answer := answerOf("x")
	ends := []struct {
		name  string
		event func(r *request) store.Event
	}{
		{"complete", func(r *request) store.Event { return r.complete(answer) }},
		{"complete large", func(r *request) store.Event { return r.complete(bodyOf(64 << 10)) }},
		{"fail", func(r *request) store.Event { return r.fail() }},
		{"release", func(r *request) store.Event { return r.release() }},
		{"settle", func(r *request) store.Event { return r.settle(&answer) }},
		{"erase", func(r *request) store.Event {
			erase := r.erase()
			erase.Running = true
			return erase
		}},
	}
	for _, protocol := range []int{2, 3} {
		rdb := shared.Server(t).Client(t, func(o *redis.Options) { o.Protocol = protocol })
		s := newStore(t, rdb, redisstore.Namespace(fmt.Sprint("watch", protocol)))
		for _, end := range ends {
			t.Run(fmt.Sprintf("RESP%d %s", protocol, end.name), func(t *testing.T) {
				t.Parallel()
				r := newRequest(t)
				r.claims(t, s, store.Claimed)
				w := s.Watch(r.id)
				defer w.Close()
				awaits(t, w)
				waiter := r.duplicate()
				waiter.claim.Wait = true
				waiter.claims(t, s, store.InProgress)
				require.False(t, signalled(w))
				r.applies(t, s, end.event(r), store.Done)
				awaits(t, w)
			})
		}
	}
}

// The first signal means that messages are heard, not that they will be: it
// waits for the server's word, and comes at once where that is there already.
func TestWatchSignalsWhenTheServerHasConfirmed(t *testing.T) {
	t.Parallel()
	const delay = 300 * time.Millisecond
	s, proxy, srv := proxied(t)
	known := newRequest(t)
	first := s.Watch(known.id)
	defer first.Close()
	awaits(t, first)

	proxy.DelayReplies(delay)
	start := time.Now()
	other := s.Watch(newRequest(t).id)
	defer other.Close()
	second := s.Watch(known.id)
	defer second.Close()
	require.True(t, signalled(second), "the record is watched already")
	require.False(t, signalled(first))
	awaits(t, other)
	require.GreaterOrEqual(t, time.Since(start), delay)
	require.Equal(t, 2, channels(srv))
	require.Equal(t, 1, subscribers(srv))
}

func TestWatchesOfARecordShareASubscription(t *testing.T) {
	t.Parallel()
	s, proxy, srv := proxied(t)
	r := newRequest(t)
	watches := make([]store.Watch, 100)
	for i := range watches {
		watches[i] = s.Watch(r.id)
	}
	for _, w := range watches {
		awaits(t, w)
	}
	require.Equal(t, 1, proxy.Requests()["subscribe"])
	srv.Do("publish", recordKey(redisstore.DefaultNamespace, r.id), "whatever")
	for _, w := range watches {
		awaits(t, w)
	}
	for _, w := range watches[1:] {
		w.Close()
		w.Close()
	}
	require.Equal(t, 1, channels(srv))
	srv.Do("publish", recordKey(redisstore.DefaultNamespace, r.id), "whatever")
	awaits(t, watches[0])
	for _, w := range watches[1:] {
		require.False(t, signalled(w), "it was closed")
	}
	watches[0].Close()
	eventually(t, func() bool { return channels(srv) == 0 }, "nobody watches, and it is subscribed")
	require.Equal(t, 1, proxy.Requests()["unsubscribe"])
	require.Zero(t, s.Stats().ListenFailures)
}

// Many subscriptions that are due at the same time are one command.
func TestSubscriptionsAreBatched(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t)
	proxy.DelayReplies(100 * time.Millisecond) // connecting takes a while
	watches := make([]store.Watch, 1200)
	for i := range watches {
		watches[i] = s.Watch(newRequest(t).id)
	}
	for _, w := range watches {
		awaits(t, w)
	}
	require.LessOrEqual(t, proxy.Requests()["subscribe"], 4)
	for _, w := range watches {
		w.Close()
	}
}

// A record that is left and watched again in the same breath: whoever got the
// first signal is heard by the server at that very moment.
func TestWatchThatFollowsACloseIsHeard(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb := srv.Client(t)
	s := newStore(t, rdb)
	ids := []store.ID{newRequest(t).id, newRequest(t).id}
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(n), 1))
			for range 300 {
				id := ids[rng.IntN(len(ids))]
				w := s.Watch(id)
				awaits(t, w)
				heard, err := rdb.Publish(t.Context(), recordKey(redisstore.DefaultNamespace, id), "x").Result()
				assert.NoError(t, err)
				assert.Equal(t, int64(1), heard, "a signal before the subscription")
				awaits(t, w)
				w.Close()
			}
		})
	}
	all.Wait()
	eventually(t, func() bool { return channels(srv) == 0 }, "something is left subscribed")
	require.Zero(t, s.Stats().ListenFailures)
}

func TestThousandsOfWatchesLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	s, srv := own(t)
	ids := make([]store.ID, 500)
	for i := range ids {
		ids[i] = newRequest(t).id
	}
	clients := func() int { return strings.Count(fmt.Sprint(srv.Do("client", "list")), "id=") }
	before := clients()
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(n), 2))
			for range 1000 {
				w := s.Watch(ids[rng.IntN(len(ids))])
				if rng.IntN(3) == 0 {
					awaits(t, w)
				}
				w.Close()
			}
		})
	}
	all.Wait()
	require.Equal(t, before+1, clients(), "the connection lingers")
	eventually(t, func() bool { return channels(srv) == 0 }, "something is left subscribed")
	eventually(t, func() bool { return clients() == before }, "the connection is left open")
	require.Zero(t, s.Stats().ListenFailures)

	w := s.Watch(ids[0])
	defer w.Close()
	awaits(t, w)
}

// An idle connection is kept, and looked at.
func TestSilenceIsNotMistakenForDeath(t *testing.T) {
	t.Parallel()
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprint("RESP", protocol), func(t *testing.T) {
			t.Parallel()
			s, proxy, _ := proxied(t, func(o *redis.Options) { o.Protocol = protocol })
			w := s.Watch(newRequest(t).id)
			defer w.Close()
			awaits(t, w)
			eventually(t, func() bool { return proxy.Requests()["ping"] >= 4 }, "no PINGs")
			require.False(t, signalled(w))
			require.Zero(t, s.Stats().ListenFailures)
			require.Equal(t, 1, proxy.Requests()["subscribe"])
		})
	}
}

func TestWatchOfAClosedStoreNeverSignals(t *testing.T) {
	t.Parallel()
	s, srv := own(t)
	r := newRequest(t)
	w := s.Watch(r.id)
	awaits(t, w)
	require.NoError(t, s.Close())
	eventually(t, func() bool { return subscribers(srv) == 0 }, "the connection is left open")
	late := s.Watch(r.id)
	require.False(t, signalled(late))
	require.False(t, signalled(w))
	for range 2 {
		late.Close()
		w.Close()
	}
	require.Zero(t, s.Stats().ListenFailures)
}

// A store that was never watched has nothing to end, and watches that nobody
// closed end with the store.
func TestCloseEndsWatches(t *testing.T) {
	t.Parallel()
	s, srv := own(t)
	for range 50 {
		s.Watch(newRequest(t).id) // not closed
	}
	require.NoError(t, s.Close())
	eventually(t, func() bool { return subscribers(srv) == 0 }, "the connection is left open")
}

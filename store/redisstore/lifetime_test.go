package redisstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// The time to live is lease + max(retention, a day) while running or unknown,
// the retention when ended, a minute for a tombstone. A settlement leaves what
// there was if that is more.
func TestTimeToLive(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	s := newStore(t, rdb, redisstore.Namespace("ttl"))
	const day = 24 * time.Hour
	answer := answerOf("x")
	tests := []struct {
		name   string
		events func(r *request) []store.Event
		want   time.Duration
	}{
		{"claim", func(*request) []store.Event { return nil }, day + 30*time.Second},
		{"renew", func(r *request) []store.Event {
			return []store.Event{store.Renew{Owner: r.claim.Owner, Lease: time.Minute, Retention: 2 * day}}
		}, 2*day + time.Minute},
		{"mark", func(r *request) []store.Event { return []store.Event{r.mark()} }, day + 30*time.Second},
		{"complete", func(r *request) []store.Event { return []store.Event{r.complete(answer)} }, time.Hour},
		{"complete large", func(r *request) []store.Event { return []store.Event{r.complete(bodyOf(64 << 10))} }, time.Hour},
		{"fail", func(r *request) []store.Event { return []store.Event{r.fail()} }, day + 30*time.Second},
		{"release", func(r *request) []store.Event { return []store.Event{r.release()} }, time.Hour},
		{"settle", func(r *request) []store.Event { return []store.Event{r.settle(&answer)} }, day + 30*time.Second},
		{"settle by release", func(r *request) []store.Event { return []store.Event{r.settle(nil)} }, day + 30*time.Second},
		{"settle for longer", func(r *request) []store.Event {
			settle := r.settle(&answer)
			settle.Retention = 3 * day
			return []store.Event{settle}
		}, 3 * day},
		{"erase", func(r *request) []store.Event {
			erase := r.erase()
			erase.Retention = time.Minute
			return []store.Event{r.complete(answer), erase}
		}, time.Hour},
		{"erase for longer", func(r *request) []store.Event {
			erase := r.erase()
			erase.Retention = day
			return []store.Event{r.complete(answer), erase}
		}, day},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRequest(t)
			r.claims(t, s, store.Claimed)
			for _, event := range test.events(r) {
				r.applies(t, s, event, store.Done)
			}
			got := rdb.PTTL(t.Context(), recordKey("ttl", r.id)).Val()
			require.InDelta(t, test.want, got, float64(time.Second))
		})
	}
	r := newRequest(t)
	r.applies(t, s, r.release(), store.Done)
	require.InDelta(t, time.Minute, rdb.PTTL(t.Context(), recordKey("ttl", r.id)).Val(), float64(time.Second))
}

// An expiry that somebody took off is not put back by an event that keeps it.
func TestRecordWithoutExpiryStaysWithout(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	s := newStore(t, rdb, redisstore.Namespace("persistent"))
	r := newRequest(t)
	r.claims(t, s, store.Claimed)
	require.NoError(t, rdb.Persist(t.Context(), recordKey("persistent", r.id)).Err())
	r.applies(t, s, r.mark(), store.Done)
	rec, err := s.Lookup(t.Context(), r.id)
	require.NoError(t, err)
	require.True(t, rec.Marked)
	require.Equal(t, store.Instant(redisstore.MaxNumber), rec.Expires)
	require.Equal(t, store.Running, rec.Live(rec.LeaseEnd).State)
}

// The end of an attempt is published on the record's channel, once, and only if
// somebody said that it waits.
func TestEndIsPublishedToWhoWaits(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	answer := answerOf("x")
	tests := []struct {
		name  string
		event func(r *request) store.Event
		want  string
	}{
		{"complete", func(r *request) store.Event { return r.complete(answer) }, "C"},
		{"complete large", func(r *request) store.Event { return r.complete(bodyOf(64 << 10)) }, "C"},
		{"fail", func(r *request) store.Event { return r.fail() }, "U"},
		{"release", func(r *request) store.Event { return r.release() }, "L"},
		{"settle", func(r *request) store.Event { return r.settle(&answer) }, "C"},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			namespace := fmt.Sprint("publish", i)
			s := newStore(t, rdb, redisstore.Namespace(namespace))
			r := newRequest(t)
			channel := recordKey(namespace, r.id)
			sub := rdb.Subscribe(t.Context(), channel)
			defer func() { require.NoError(t, sub.Close()) }()
			_, err := sub.Receive(t.Context())
			require.NoError(t, err)

			// Nobody waits: silence. The end mark shows that it was silence.
			r.claims(t, s, store.Claimed)
			r.applies(t, s, r.release(), store.Done)
			require.NoError(t, rdb.Publish(t.Context(), channel, "end mark").Err())
			requireMessage(t, sub, "end mark")

			r = r.duplicate()
			r.claims(t, s, store.Claimed)
			waiter := r.duplicate()
			waiter.claim.Wait = true
			waiter.claims(t, s, store.InProgress)
			waiter.claims(t, s, store.InProgress)
			event := test.event(r)
			r.applies(t, s, event, store.Done)
			requireMessage(t, sub, test.want)
			_, err = s.Apply(t.Context(), r.id, event)
			require.NoError(t, err)
			require.NoError(t, rdb.Publish(t.Context(), channel, "end mark").Err())
			requireMessage(t, sub, "end mark")
		})
	}
}

// A take-over ends the attempt that somebody waited for, too: they learn of it
// and wait anew.
func TestTakeOverIsPublishedToWhoWaits(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	s := newStore(t, rdb, redisstore.Namespace("publish"))
	r := newRequest(t)
	r.claims(t, s, store.Claimed)
	sub := rdb.Subscribe(t.Context(), recordKey("publish", r.id))
	defer func() { require.NoError(t, sub.Close()) }()
	_, err := sub.Receive(t.Context())
	require.NoError(t, err)
	waiter := r.duplicate()
	waiter.claim.Wait = true
	waiter.claims(t, s, store.InProgress)
	// The holder died: its lease end is in the past.
	require.NoError(t, rdb.SetRange(t.Context(), recordKey("publish", r.id), 33, "0000000000000001").Err())

	next := r.duplicate()
	next.claim.TakeOver = store.TakeOverAlways
	require.True(t, next.claims(t, s, store.Claimed).TookOver)
	requireMessage(t, sub, "R")
}

func requireMessage(t *testing.T, sub *redis.PubSub, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	message, err := sub.ReceiveMessage(ctx)
	require.NoError(t, err)
	require.Equal(t, want, message.Payload)
}

package redisstore_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// repeating lets the client do what it does by default: run a command again,
// silently, when a reply got lost.
func repeating(o *redis.Options) { o.MaxRetries = 3 }

// F23: the claim ran and its reply got lost; the client runs it again by
// itself. The owner must find its own claim, not a stranger's.
func TestOwnClaimIsFoundAfterALostReplyF23(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t, repeating)
	warm(t, s)
	r := newRequest(t)
	lost := proxy.LoseReply("evalsha", 1)
	reply := r.claims(t, s, store.Claimed)
	require.Equal(t, 1, lost.Fired())
	require.Equal(t, 1, reply.Attempt)
	require.Less(t, int64(reply.Token), int64(reply.Now), "the token is that of the first execution")
}

// F23, as the engine sees it: an error that says nothing about whether the
// claim ran, and the same owner asks again.
func TestOwnClaimIsFoundByAskingAgainF23(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t)
	warm(t, s)
	r := newRequest(t)
	proxy.LoseReply("evalsha", 1)
	_, err := s.Apply(t.Context(), r.id, r.claim)
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, 1, r.claims(t, s, store.Claimed).Attempt)
}

// F24, F25, F26, F27: whatever ends or confirms an attempt can be sent again.
func TestLostRepliesLeaveTheFirstExecutionInPlaceF24F25F26F27(t *testing.T) {
	t.Parallel()
	small, large := answerOf("small"), bodyOf(64<<10)
	tests := []struct {
		name  string
		event func(r *request) store.Event
		state store.State
	}{
		{"renew F24", func(r *request) store.Event { return r.renew() }, store.Running},
		{"mark", func(r *request) store.Event { return r.mark() }, store.Running},
		{"complete", func(r *request) store.Event { return r.complete(small) }, store.Completed},
		{"complete large", func(r *request) store.Event { return r.complete(large) }, store.Completed},
		{"fail", func(r *request) store.Event { return r.fail() }, store.Unknown},
		{"release F26", func(r *request) store.Event { return r.release() }, store.Released},
		{"settle", func(r *request) store.Event { return r.settle(&small) }, store.Completed},
		{"erase", func(r *request) store.Event {
			erase := r.erase()
			erase.Running = true
			return erase
		}, store.Released},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, proxy, srv := proxied(t)
			warm(t, s)
			srv.FlushAll()
			r := newRequest(t)
			r.claims(t, s, store.Claimed)
			event := test.event(r)

			lost := proxy.LoseReply("evalsha", 1)
			_, err := s.Apply(t.Context(), r.id, event)
			require.ErrorIs(t, err, store.ErrUnavailable)
			require.Equal(t, 1, lost.Fired())
			first, err := s.Lookup(t.Context(), r.id)
			require.NoError(t, err)
			require.Equal(t, test.state, first.State)

			cut := proxy.CutReply("evalsha", 1)
			_, err = s.Apply(t.Context(), r.id, event)
			require.ErrorIs(t, err, store.ErrUnavailable)
			require.Equal(t, 1, cut.Fired())

			r.applies(t, s, event, store.Done)
			again, err := s.Lookup(t.Context(), r.id)
			require.NoError(t, err)
			require.Equal(t, first.Finished, again.Finished)
			require.Equal(t, first.Answer, again.Answer)
			require.Equal(t, []string{recordKey(redisstore.DefaultNamespace, r.id)}, srv.Keys("*"))
		})
	}
}

// F28: a renewal that executes after the completion must not shorten the
// retention, and a claim that executes after the release must not start.
func TestLatePacketsAreHarmlessF28(t *testing.T) {
	t.Parallel()
	s, proxy, srv := proxied(t)
	warm(t, s)
	r := newRequest(t)
	late := proxy.Hold("get", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := s.Apply(ctx, r.id, r.claim)
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	r.applies(t, s, r.release(), store.Done)
	late.Deliver()
	rec, err := s.Lookup(t.Context(), r.id)
	require.NoError(t, err)
	require.Equal(t, store.Released, rec.State)
	r.claims(t, s, store.Ended)

	done := newRequest(t)
	done.claims(t, s, store.Claimed)
	done.applies(t, s, done.complete(answerOf("x")), store.Done)
	done.applies(t, s, done.renew(), store.Lost)
	ttl := srv.Do("pttl", recordKey(redisstore.DefaultNamespace, done.id))
	assert.InDelta(t, done.claim.Retention.Milliseconds(), ttl, 1000)
}

// F13, F22: a server that does not answer ends a call at the caller's deadline,
// not at the client's timeouts, and the reason is recognisable.
func TestDeadlineEndsACallToASilentServerF13F22(t *testing.T) {
	t.Parallel()
	s, _, srv := proxied(t)
	warm(t, s)
	srv.Pause()
	defer srv.Resume()
	r := newRequest(t)
	for _, event := range []store.Event{r.claim, r.renew(), r.mark(), r.complete(bodyOf(64 << 10))} {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
		start := time.Now()
		_, err := s.Apply(ctx, r.id, event)
		cancel()
		require.ErrorIs(t, err, store.ErrUnavailable, event.Name())
		require.ErrorIs(t, err, context.DeadlineExceeded, event.Name())
		require.Less(t, time.Since(start), time.Second, event.Name())
	}
}

func TestEndedContextSendsNothing(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t)
	warm(t, s)
	proxy.ResetCounts()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := newRequest(t)
	_, err := s.Apply(ctx, r.id, r.claim)
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Lookup(ctx, r.id)
	require.ErrorIs(t, err, context.Canceled)
	results := s.Renew(ctx, []store.Renewal{{ID: r.id, Renew: r.renew()}})
	require.ErrorIs(t, results[0].Err, context.Canceled)
	_, err = s.Preflight(ctx)
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.Empty(t, proxy.Packets())
}

// F37: a server that forgot the scripts, as after a restart or a failover,
// gets each of them again once, inside pipelines, too.
func TestForgottenScriptsAreSentAgainF37(t *testing.T) {
	t.Parallel()
	large := bodyOf(64 << 10)
	tests := []struct {
		name string
		do   func(t *testing.T, s *redisstore.Store, r *request)
		want [][]string
	}{
		{"claim", func(t *testing.T, s *redisstore.Store, r *request) {
			r.duplicate().claims(t, s, store.InProgress)
		}, [][]string{{"evalsha", "get"}, {"eval", "get"}}},
		{"lookup", func(t *testing.T, s *redisstore.Store, r *request) {
			_, err := s.Lookup(t.Context(), r.id)
			require.NoError(t, err)
		}, [][]string{{"evalsha", "get"}, {"eval", "get"}}},
		{"complete", func(t *testing.T, s *redisstore.Store, r *request) {
			r.applies(t, s, r.complete(answerOf("x")), store.Done)
		}, [][]string{{"evalsha"}, {"eval"}}},
		{"complete large", func(t *testing.T, s *redisstore.Store, r *request) {
			r.applies(t, s, r.complete(large), store.Done)
		}, [][]string{{"set", "evalsha"}, {"eval"}}},
		{"renew", func(t *testing.T, s *redisstore.Store, r *request) {
			r.applies(t, s, r.renew(), store.Done)
		}, [][]string{{"evalsha"}, {"eval"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, proxy, srv := proxied(t)
			r := newRequest(t)
			r.claims(t, s, store.Claimed)
			loads := s.Stats().ScriptLoads
			srv.ScriptFlush()
			proxy.ResetCounts()
			test.do(t, s, r)
			assert.Equal(t, test.want, proxy.Packets())
			assert.Equal(t, loads+1, s.Stats().ScriptLoads)
			assert.Len(t, srv.Keys("*"), 1)
			assert.Zero(t, s.Stats().LargeFallbacks)
		})
	}
}

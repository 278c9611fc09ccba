package redisstore_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// pipeHook changes what comes back from a pipeline, so many times.
type pipeHook struct {
	left   atomic.Int64
	change func(cmds []redis.Cmder)
}

func (*pipeHook) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (*pipeHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (h *pipeHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		// What sets up a connection comes through here, too.
		if ours := cmds[len(cmds)-1].Name(); (ours == "get" || ours == "evalsha") && h.left.Add(-1) >= 0 {
			h.change(cmds)
		}
		return err
	}
}

// edited changes the reply of a script.
func edited(edit func(text string) string) func(cmds []redis.Cmder) {
	return func(cmds []redis.Cmder) {
		cmd := cmds[0].(*redis.Cmd)
		cmd.SetVal(edit(cmd.Val().(string)))
	}
}

func hooked(t *testing.T, change func(cmds []redis.Cmder)) (*redisstore.Store, *pipeHook) {
	t.Helper()
	rdb := shared.Server(t).Client(t)
	hook := &pipeHook{change: change}
	rdb.AddHook(hook)
	return newStore(t, rdb, redisstore.Namespace("hooked")), hook
}

// The record may expire, or become another's, between the claim's script and
// the GET. The claim is sent once more, and never answered by what is not the
// answer.
func TestAnswerThatVanishedIsClaimedForOnceMore(t *testing.T) {
	t.Parallel()
	other := goldenRecord()
	tests := []struct {
		name   string
		change func(id store.ID, get *redis.StringCmd)
	}{
		{"gone", func(_ store.ID, get *redis.StringCmd) { get.SetErr(redis.Nil) }},
		{"another attempt's", func(id store.ID, get *redis.StringCmd) {
			get.SetVal(string(redisstore.Encode(id, &other)))
		}},
		{"running", func(id store.ID, get *redis.StringCmd) {
			running := other
			running.State, running.Answer = store.Running, store.Answer{}
			get.SetVal(string(redisstore.Encode(id, &running)))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRequest(t)
			s, hook := hooked(t, func(cmds []redis.Cmder) {
				test.change(r.id, cmds[1].(*redis.StringCmd))
			})
			r.claims(t, s, store.Claimed)
			r.applies(t, s, r.complete(answerOf("the answer")), store.Done)

			hook.left.Store(1)
			r.replays(t, s, answerOf("the answer"))
			require.EqualValues(t, 1, s.Stats().ClaimsRepeated)

			hook.left.Store(2)
			_, err := s.Apply(t.Context(), r.id, r.duplicate().claim)
			require.ErrorIs(t, err, store.ErrUnavailable)
		})
	}
}

// The GET may fail where the script succeeded: that spoils a replay, not a
// claim.
func TestFailedGetMattersOnlyToAReplay(t *testing.T) {
	t.Parallel()
	s, hook := hooked(t, func(cmds []redis.Cmder) { cmds[1].SetErr(replyError("LOADING")) })
	r := newRequest(t)
	hook.left.Store(1)
	r.claims(t, s, store.Claimed)
	r.applies(t, s, r.complete(answerOf("x")), store.Done)
	hook.left.Store(1)
	_, err := s.Apply(t.Context(), r.id, r.duplicate().claim)
	require.ErrorIs(t, err, store.ErrUnavailable)
}

// F44: a reply that was meant for another request is not believed.
func TestReplyToAnotherRequestIsNotBelievedF44(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(cmds []redis.Cmder)
		want   error
	}{
		{"another owner's claim", edited(func(text string) string {
			return text[:17] + store.NewOwner().String() + text[49:]
		}), store.ErrUnavailable},
		{"another event's", edited(func(text string) string {
			return strings.Replace(text, " claim: ", " complete: ", 1)
		}), store.ErrUnavailable},
		{"a word that is no verdict", edited(func(text string) string {
			return strings.Replace(text, "recorded", "sure", 1)
		}), store.ErrUnavailable},
		{"no head", edited(func(text string) string { return text[:len(text)-12] }), store.ErrUnreadable},
		{"nothing but a time", edited(func(text string) string { return text[:16] }), store.ErrUnavailable},
		{"no string", func(cmds []redis.Cmder) { cmds[0].(*redis.Cmd).SetVal(int64(1)) }, store.ErrUnavailable},
		{"letters for the time", edited(func(text string) string { return "x" + text[1:] }), store.ErrUnavailable},
		{"another key's answer", func(cmds []redis.Cmder) {
			rec := goldenRecord()
			cmds[1].(*redis.StringCmd).SetVal(string(redisstore.Encode(goldenID(), &rec)))
		}, store.ErrUnreadable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, hook := hooked(t, test.change)
			r := newRequest(t)
			r.claims(t, s, store.Claimed)
			r.applies(t, s, r.complete(answerOf("x")), store.Done)
			hook.left.Store(1)
			_, err := s.Apply(t.Context(), r.id, r.duplicate().claim)
			require.ErrorIs(t, err, test.want)
		})
	}
}

// F44: on a connection that has got out of step, a caller may get its own earlier
// reply. A mark that was done is no answer that is recorded.
func TestReplyToTheSameOwnersEarlierEventIsNotBelievedF44(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	hook := &lateHook{}
	rdb.AddHook(hook)
	s := newStore(t, rdb, redisstore.Namespace("out-of-step"))
	r := newRequest(t)
	r.claims(t, s, store.Claimed)
	r.applies(t, s, r.mark(), store.Done)
	hook.late = true
	_, err := s.Apply(t.Context(), r.id, r.complete(answerOf("x")))
	require.ErrorIs(t, err, store.ErrUnavailable)
}

// lateHook remembers the last reply to a script, and gives it to the next one if
// it is late.
type lateHook struct {
	replyHook

	late bool
	last any
}

func (h *lateHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		script, ok := cmd.(*redis.Cmd)
		if !ok || !h.late {
			err := next(ctx, cmd)
			if ok && err == nil {
				h.last = script.Val()
			}
			return err
		}
		script.SetVal(h.last)
		return nil
	}
}

// F19: while a slot moves, a script over two keys may find only one of them on
// its node. The answer then takes the way through Lua, and that is counted.
func TestTryAgainFallsBackToOneKeyF19(t *testing.T) {
	t.Parallel()
	s, hook := hooked(t, func(cmds []redis.Cmder) { cmds[1].SetErr(replyError("TRYAGAIN Multiple keys")) })
	r := newRequest(t)
	r.claims(t, s, store.Claimed)
	hook.left.Store(1)
	r.applies(t, s, r.complete(bodyOf(64<<10)), store.Done)
	require.EqualValues(t, 1, s.Stats().LargeFallbacks)
	r.replays(t, s, bodyOf(64<<10))
}

// A lookup meets the same gap between its script and its GET.
func TestLookupDoesNotInventAnExpiry(t *testing.T) {
	t.Parallel()
	s, hook := hooked(t, func(cmds []redis.Cmder) { cmds[0].(*redis.Cmd).SetVal([]any{int64(1), int64(-2)}) })
	r := newRequest(t)
	r.claims(t, s, store.Claimed)
	hook.left.Store(1)
	rec, err := s.Lookup(t.Context(), r.id)
	require.NoError(t, err)
	require.Equal(t, store.Running, rec.State)
	hook.left.Store(2)
	_, err = s.Lookup(t.Context(), r.id)
	require.ErrorIs(t, err, store.ErrUnavailable)

	s, hook = hooked(t, func(cmds []redis.Cmder) { cmds[0].(*redis.Cmd).SetVal([]any{int64(1)}) })
	hook.left.Store(1)
	_, err = s.Lookup(t.Context(), r.id)
	require.ErrorIs(t, err, store.ErrUnavailable)

	s, hook = hooked(t, func(cmds []redis.Cmder) { cmds[1].SetErr(replyError("LOADING")) })
	hook.left.Store(1)
	_, err = s.Lookup(t.Context(), r.id)
	require.ErrorIs(t, err, store.ErrUnavailable)
}

// replyError is an error that a server answered.
type replyError string

func (e replyError) Error() string { return string(e) }
func (replyError) RedisError()     {}

// F61: a lease that reaches further than it is long shows that the server's
// clock was set back. It is cut to its length, on a full server, too.
func TestLeaseFromAClockThatJumpedBackIsCutF61(t *testing.T) {
	t.Parallel()
	s, srv := own(t)
	r := newRequest(t)
	r.claims(t, s, store.Claimed)
	key := recordKey(redisstore.DefaultNamespace, r.id)
	srv.Do("setrange", key, "33", "8000000000000000")
	fill(srv)
	reply := r.duplicate().claims(t, s, store.InProgress)
	require.Equal(t, reply.Now.Add(r.claim.Lease), reply.LeaseEnd)
	rec, err := s.Lookup(t.Context(), r.id)
	require.NoError(t, err)
	require.Equal(t, reply.LeaseEnd, rec.LeaseEnd)
}

package faultproxy_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/faultproxy"
)

func TestFaultHitsTheNthMatchAndNoOther(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		arm      func(p *faultproxy.Proxy) *faultproxy.Fault
		executed int // of two tries, the second of which is hit
		timeout  bool
	}{
		{name: "lost request", arm: func(p *faultproxy.Proxy) *faultproxy.Fault { return p.LoseRequest("incr", 2) }, executed: 1},
		{name: "F23 lost reply", arm: func(p *faultproxy.Proxy) *faultproxy.Fault { return p.LoseReply("INCR", 2) }, executed: 2},
		{name: "F23 swallowed reply", arm: func(p *faultproxy.Proxy) *faultproxy.Fault { return p.SwallowReply("incr", 2) }, executed: 2, timeout: true},
		{name: "F27 cut reply", arm: func(p *faultproxy.Proxy) *faultproxy.Fault { return p.CutReply("incr", 2) }, executed: 2},
		{name: "by a word in an argument", arm: func(p *faultproxy.Proxy) *faultproxy.Fault { return p.LoseReply("ount", 2) }, executed: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			fault := tt.arm(r.proxy)
			require.NoError(t, r.incr(t, "count"))
			require.NoError(t, r.rdb.Ping(t.Context()).Err(), "another command does not match")

			err := r.incr(t, "count")
			require.Error(t, err)
			assert.Equal(t, tt.timeout, isTimeout(err), "%v", err)
			r.requireValue(t, "count", tt.executed)
			assert.Equal(t, 1, fault.Fired())

			require.NoError(t, r.incr(t, "count"), "the one after is not hit")
			r.requireValue(t, "count", tt.executed+1)
		})
	}
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

func TestGoRedisRunsACommandAgainAfterALostReply(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *redis.Options) { o.MaxRetries = 3 })
	r.proxy.LoseReply("incr", 1)
	require.NoError(t, r.incr(t, "count"))
	r.requireValue(t, "count", 2)
	assert.Equal(t, 2, r.proxy.Requests()["incr"])
}

func TestRepliesBeforeALostOneInAPipelineAreDelivered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.proxy.LoseReply("second", 1)
	pipe := r.rdb.Pipeline()
	first, second := pipe.Incr(t.Context(), "first"), pipe.Incr(t.Context(), "second")
	_, err := pipe.Exec(t.Context())
	require.Error(t, err)
	assert.EqualValues(t, 1, first.Val())
	require.Error(t, second.Err())
	r.requireValue(t, "second", 1)
}

func TestCutReplyIsNotMistakenForAWholeOne(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	long := strings.Repeat("0123456789", 10_000)
	require.NoError(t, r.rdb.Set(t.Context(), "long", long, 0).Err())
	r.proxy.CutReply("get", 1)
	require.Error(t, r.rdb.Get(t.Context(), "long").Err())
	require.Equal(t, long, r.rdb.Get(t.Context(), "long").Val(), "the connection is not used again")
}

func TestHeldRequestIsExecutedAfterItsSenderGaveUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	held := r.proxy.Hold("late", 1)
	require.Error(t, r.incr(t, "late"), "F28")
	<-held.First()
	r.requireValue(t, "late", 0)

	require.NoError(t, r.incr(t, "other"), "other connections go on")
	require.NoError(t, r.rdb.Set(t.Context(), "late", 41, 0).Err(), "overtakes")

	held.Deliver()
	r.requireValue(t, "late", 42)
	held.Deliver()
	r.requireValue(t, "late", 42)
}

func TestHeldRequestIsAnsweredWhenItsSenderStillWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	held := r.proxy.Hold("late", 1)
	answer := make(chan error, 1)
	go func() { answer <- r.rdb.Incr(t.Context(), "late").Err() }()
	<-held.First()
	held.Deliver()
	require.NoError(t, <-answer)
}

func TestShareOfRepliesIsRepeatableFromItsSeed(t *testing.T) {
	t.Parallel()
	const tries, seed = 200, 7
	lose := func(r *rig) *faultproxy.Fault { return r.proxy.LoseReplies("incr", 0.2, seed) }
	cut := func(r *rig) *faultproxy.Fault { return r.proxy.CutReplies("incr", 0.2, seed) }
	run := func(t *testing.T, arm func(*rig) *faultproxy.Fault) (failed []int) {
		t.Helper()
		r := newRig(t)
		fault := arm(r)
		for i := range tries {
			if r.rdb.Incr(t.Context(), "count").Err() != nil {
				failed = append(failed, i)
			}
		}
		assert.Len(t, failed, fault.Fired())
		r.requireValue(t, "count", tries)
		return failed
	}
	lost := run(t, lose)
	assert.InDelta(t, 0.2*tries, len(lost), 0.1*tries)
	assert.Equal(t, lost, run(t, lose))
	assert.Equal(t, lost, run(t, cut))
}

func TestLosePushLosesAMessageOrAConfirmation(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := t.Context()
	sub := r.rdb.Subscribe(ctx, "news")
	defer func() { _ = sub.Close() }()
	_, err := sub.Receive(ctx)
	require.NoError(t, err)

	lost := r.proxy.LosePush("two", 1)
	for _, message := range []string{"one", "two", "three"} {
		require.NoError(t, r.direct.Publish(ctx, "news", message).Err())
	}
	for _, want := range []string{"one", "three"} {
		got, err := sub.ReceiveMessage(ctx)
		require.NoError(t, err)
		assert.Equal(t, want, got.Payload)
	}
	assert.Equal(t, 1, lost.Fired())

	r.proxy.LosePush("subscribe", 1)
	deaf := r.rdb.Subscribe(ctx, "news")
	defer func() { _ = deaf.Close() }()
	_, err = deaf.ReceiveTimeout(ctx, patience)
	require.True(t, isTimeout(err), "%v", err)
}

func TestDisarmedFaultDoesNotFire(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	fault := r.proxy.LoseReply("incr", 1)
	fault.Disarm()
	require.NoError(t, r.incr(t, "count"))
	assert.Zero(t, fault.Fired())
}

// reported is a test whose failures are kept apart from this one's.
type reported struct {
	*testing.T

	errors   []string
	cleanups []func()
}

func (r *reported) Errorf(format string, _ ...any) { r.errors = append(r.errors, format) }

func (r *reported) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func TestFaultThatNeverFiredFailsItsTest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		arm    func(p *faultproxy.Proxy)
		failed bool
	}{
		{name: "asked for by number", arm: func(p *faultproxy.Proxy) { p.LoseReply("incr", 1) }, failed: true},
		{name: "held", arm: func(p *faultproxy.Proxy) { p.Hold("incr", 1) }, failed: true},
		{name: "delivered before it was caught", arm: func(p *faultproxy.Proxy) { h := p.Hold("incr", 1); h.Deliver(); h.Disarm() }, failed: true},
		{name: "disarmed", arm: func(p *faultproxy.Proxy) { p.LoseReply("incr", 1).Disarm() }, failed: false},
		{name: "a share", arm: func(p *faultproxy.Proxy) { p.LoseReplies("incr", 1, 1) }, failed: false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inner := &reported{T: t}
			tt.arm(faultproxy.Start(inner, "127.0.0.1:1"))
			for _, f := range inner.cleanups {
				f()
			}
			assert.Equal(t, tt.failed, len(inner.errors) > 0)
		})
	}
}

func TestClosingAProxyDoesNotWaitForHeldOrSilentTraffic(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	inner := &reported{T: t}
	proxy := faultproxy.Start(inner, r.srv.Addr())
	rdb := r.srv.Client(t, func(o *redis.Options) { o.Addr, o.MaxRetries, o.ReadTimeout = proxy.Addr(), -1, time.Minute })
	held := proxy.Hold("incr", 1)
	answer := make(chan error, 1)
	go func() { answer <- rdb.Incr(t.Context(), "count").Err() }()
	<-held.First()
	for _, f := range inner.cleanups {
		f()
	}
	require.Error(t, <-answer)
	r.requireValue(t, "count", 0)
}

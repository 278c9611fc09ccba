package redisstore_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// A look shows what a lookup does, but for the answer, in every state.
func TestInspectIsALookupWithoutTheAnswer(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	s := newStore(t, rdb, redisstore.Namespace("inspect"))
	small, large := answerOf("small"), bodyOf(64<<10)
	large.Omitted = store.BodyStreamed
	tests := []struct {
		name   string
		events func(r *request) []store.Event
		state  store.State
	}{
		{"running", func(r *request) []store.Event { return []store.Event{r.mark()} }, store.Running},
		{"completed", func(r *request) []store.Event { return []store.Event{r.complete(small)} }, store.Completed},
		{"completed large", func(r *request) []store.Event { return []store.Event{r.complete(large)} }, store.Completed},
		{"unknown", func(r *request) []store.Event { return []store.Event{r.fail()} }, store.Unknown},
		{"released", func(r *request) []store.Event { return []store.Event{r.release()} }, store.Released},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRequest(t)
			r.claims(t, s, store.Claimed)
			for _, event := range test.events(r) {
				r.applies(t, s, event, store.Done)
			}
			want, err := s.Lookup(t.Context(), r.id)
			require.NoError(t, err)
			seen, err := s.Inspect(t.Context(), r.id)
			require.NoError(t, err)

			assert.Equal(t, r.id, seen.ID)
			assert.Equal(t, test.state, seen.State())
			assert.InDelta(t, time.Now().UnixMicro(), int64(seen.Now), 5e6)
			assert.InDelta(t, int64(want.Expires), int64(seen.Record.Expires), 50_000)
			want.Expires, want.Answer.Meta, want.Answer.Body = seen.Record.Expires, nil, nil
			assert.Equal(t, want, seen.Record)
		})
	}
}

func TestInspectTellsTheTimeOfARecordThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := newStore(t, shared.Server(t).Client(t), redisstore.Namespace("inspect"))
	r := newRequest(t)
	seen, err := s.Inspect(t.Context(), r.id)
	require.NoError(t, err)
	require.Equal(t, store.Record{}, seen.Record)
	require.Equal(t, store.Absent, seen.State())
	require.InDelta(t, time.Now().UnixMicro(), int64(seen.Now), 5e6)
}

// meter counts what a client reads from its connections.
type meter struct {
	net.Conn
	read *atomic.Int64
}

func (m meter) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	m.read.Add(int64(n))
	return n, err
}

func metered(read *atomic.Int64) func(o *redis.Options) {
	return func(o *redis.Options) {
		o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return meter{conn, read}, err
		}
	}
}

// A look at 1 MiB costs what a look at nothing costs.
func TestInspectNeverMovesTheAnswer(t *testing.T) {
	t.Parallel()
	var read atomic.Int64
	srv := redistest.Start(t)
	s := newStore(t, srv.Client(t, metered(&read)))
	r := newRequest(t)
	r.claims(t, s, store.Claimed)
	r.applies(t, s, r.complete(bodyOf(1<<20)), store.Done)
	_, err := s.Inspect(t.Context(), r.id)
	require.NoError(t, err)

	before := read.Load()
	seen, err := s.Inspect(t.Context(), r.id)
	require.NoError(t, err)
	require.Less(t, read.Load()-before, int64(1<<10))
	require.Equal(t, store.Completed, seen.Record.State)
	require.Equal(t, store.Answer{Codec: "http1"}, seen.Record.Answer)
}

// What an answer consists of is not looked at; everything before it is.
func TestInspectJudgesWhatStandsBeforeTheAnswerF42(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	s := newStore(t, rdb, redisstore.Namespace("looked-at"))
	rec, id := goldenRecord(), goldenID()
	key := recordKey("looked-at", id)
	running := rec
	running.State, running.Answer = store.Running, store.Answer{}
	running.Operation = string(make([]byte, store.MaxOperationName))
	tests := []struct {
		name  string
		value string
		field string
	}{
		{"blank codec", golden[:233] + "        " + golden[241:], "codec"},
		{"omission", golden[:241] + "7" + golden[242:], "omission"},
		{"codec of a running record", string(redisstore.Encode(id, &running))[:233] + golden[233:], "length"},
		{"a byte after the longest running record", string(redisstore.Encode(id, &running)) + "x", "length"},
		{"empty", "", "format"},
	}
	for _, test := range tests {
		require.NoError(t, rdb.Set(t.Context(), key, test.value, time.Hour).Err(), test.name)
		_, err := s.Inspect(t.Context(), id)
		require.ErrorIs(t, err, store.ErrUnreadable, test.name)
		require.ErrorContains(t, err, test.field, test.name)
	}
	require.NoError(t, rdb.Set(t.Context(), key, golden[:len(golden)-1], time.Hour).Err())
	_, err := s.Lookup(t.Context(), id)
	require.ErrorIs(t, err, store.ErrUnreadable)
	_, err = s.Inspect(t.Context(), id)
	require.NoError(t, err)
}

func TestInspectOfAnUnreachableServerIsAnError(t *testing.T) {
	t.Parallel()
	s, srv := own(t)
	r := newRequest(t)
	r.claims(t, s, store.Claimed)
	srv.Kill()
	_, err := s.Inspect(t.Context(), r.id)
	require.ErrorIs(t, err, store.ErrUnavailable)
	requireDiscreet(t, err, r)
	require.NoError(t, s.Close())
	_, err = s.Inspect(t.Context(), r.id)
	require.ErrorIs(t, err, redis.ErrClosed)
}

// A reply that is not what the script returns is not believed.
func TestInspectBelievesNoStrangeReplyF44(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]any{
		"no list":         "OK",
		"too short":       []any{int64(1), int64(1)},
		"time as text":    []any{"1", int64(1), golden},
		"no text":         []any{int64(1), int64(1), int64(1)},
		"expiry as text":  []any{int64(1), "1", golden},
		"another's reply": []any{"recorded", int64(1), "owner", golden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb := shared.Server(t).Client(t)
			rdb.AddHook(replyHook{reply: reply})
			s := newStore(t, rdb, redisstore.Namespace("strange"))
			_, err := s.Inspect(t.Context(), goldenID())
			require.ErrorIs(t, err, store.ErrUnavailable)
		})
	}
}

// replyHook makes every script return the same.
type replyHook struct {
	redis.Hook
	reply any
}

func (replyHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (replyHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h replyHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if script, ok := cmd.(*redis.Cmd); ok {
			script.SetErr(nil)
			script.SetVal(h.reply)
			return nil
		}
		return err
	}
}

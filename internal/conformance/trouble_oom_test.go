package conformance_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
)

// fill writes until the server takes nothing any more.
func fill(t *testing.T, rdb *redis.Client) {
	t.Helper()
	for _, size := range []int{100_000, 10_000, 1000, 100, 10} {
		filler := strings.Repeat("f", size)
		for n := 0; ; n++ {
			require.Less(t, n, 10_000, "the server does not get full")
			err := rdb.RPush(t.Context(), "filler", filler).Err()
			if redis.HasErrorPrefix(err, "OOM") {
				break
			}
			require.NoError(t, err)
		}
	}
}

func TestS13_F32_F33_FullRedisRefusesClaimsAndStillTakesEndingsAndReplays(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.MaxMemory("12mb", "noeviction"))
	rdb := srv.Client(t)
	started, goOn := make(chan struct{}, 10), make(chan struct{})
	s := newService(t, setup{
		redis: rdb,
		handler: func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Wait") != "" {
				started <- struct{}{}
				select {
				case <-goOn:
				case <-t.Context().Done():
				}
			}
			switch r.Header.Get("X-End") {
			case "small":
				_, _ = io.WriteString(w, "small")
			case "large":
				_, _ = io.WriteString(w, strings.Repeat("l", 1<<20))
			case "marked":
				assert.NoError(t, idempotency.MarkEffect(r.Context()))
				_, _ = io.WriteString(w, "marked")
			case "release":
				w.WriteHeader(503)
			case "unknown":
				assert.NoError(t, idempotency.MarkEffect(r.Context()))
				w.WriteHeader(500)
			}
		},
	})
	ends := map[string]call{}
	answers := map[string]<-chan response{}
	for _, end := range []string{"small", "large", "marked", "release", "unknown"} {
		ends[end] = call{key: newKey(), header: http.Header{"X-End": {end}, "X-Wait": {"1"}}}
		answers[end] = background(t, s.URL, ends[end])
		<-started
	}
	old := call{key: newKey(), header: http.Header{"X-End": {"small"}}}
	first := send(t, s.URL, old)
	requireExecuted(t, first)

	fill(t, rdb)
	runs := s.Runs()
	requireDown(t, s.URL, call{key: newKey(), body: "B"}, time.Second)
	assert.Equal(t, runs, s.Runs())
	requireReplay(t, first, send(t, s.URL, old))
	close(goOn)
	for end, answer := range answers {
		resp := <-answer
		switch end {
		case "release", "unknown":
			assert.Equal(t, "unrecorded", resp.Header.Get("Idempotency-Status"), end)
		default:
			requireExecuted(t, resp)
			requireReplay(t, resp, send(t, s.URL, ends[end]))
		}
	}
	requireProblem(t, send(t, s.URL, ends["unknown"]), 409, "outcome_unknown")
	require.True(t, redis.HasErrorPrefix(rdb.Set(t.Context(), "more", "x", 0).Err(), "OOM"), "full all the while")
	assert.Equal(t, runs, s.Runs())

	require.NoError(t, rdb.Unlink(t.Context(), "filler").Err())
	eventually(t, "the released one runs again", func() bool {
		return send(t, s.URL, ends["release"]).Status == 503 && s.Runs() > runs
	})
}

func TestS13_F35_F39_ReadOnlyServerIsUnavailableForClaimsOnly(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		spoil, heal func(*redistest.Server)
	}{
		{
			"replica",
			func(srv *redistest.Server) { srv.Do("replicaof", "127.0.0.1", "1") },
			func(srv *redistest.Server) { srv.Do("replicaof", "no", "one") },
		},
		{
			"too few replicas",
			func(srv *redistest.Server) { srv.Config("min-replicas-to-write", "1") },
			func(srv *redistest.Server) { srv.Config("min-replicas-to-write", "0") },
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t)
			handler, started, goOn := blocking(t)
			events := newEvents()
			s := newService(t, setup{
				redis: srv.Client(t), policy: idempotency.Policy{Lease: 6 * time.Second},
				guard: []idempotency.Option{idempotency.WithTrace(events.trace())},
				handler: func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("X-Wait") != "" {
						handler(w, r)
					}
				},
			})
			old := call{key: newKey()}
			first := send(t, s.URL, old)
			requireExecuted(t, first)
			c := call{key: newKey(), header: http.Header{"X-Wait": {"1"}}}
			answer := background(t, s.URL, c)
			<-started

			test.spoil(srv)
			requireDown(t, s.URL, call{key: newKey()}, time.Second)
			require.Error(t, s.Guard.Health(t.Context()))
			requireReplay(t, first, send(t, s.URL, old))
			requireProblem(t, send(t, s.URL, c), 409, "in_progress")
			close(goOn)
			own := <-answer
			assert.Equal(t, 201, own.Status)
			assert.Equal(t, "unrecorded", own.Header.Get("Idempotency-Status"))
			assert.Equal(t, 2, s.Runs())

			test.heal(srv)
			for settled := range 2 { // the claim without answer, and the completion
				require.NoError(t, next(t, "the endings", events.settled).Err, settled)
			}
			requireReplay(t, own, send(t, s.URL, c))
		})
	}
}

func TestS13_F36_LoadingServerIsUnavailable(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.AOF(), redistest.Args(
		"--appendfsync", "no", "--auto-aof-rewrite-percentage", "0", "--key-load-delay", "300"))
	rdb := srv.Client(t)
	s := newService(t, setup{
		redis: rdb, policy: idempotency.Policy{Lease: 300 * time.Millisecond},
		guard: []idempotency.Option{idempotency.WithStoreTimeout(200 * time.Millisecond)},
	})
	done := call{key: newKey()}
	first := send(t, s.URL, done)
	requireExecuted(t, first)
	pipe := rdb.Pipeline()
	for range 6000 {
		pipe.Incr(t.Context(), "n")
	}
	_, err := pipe.Exec(t.Context())
	require.NoError(t, err)

	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		srv.Restart() // returns when it has loaded
	}()
	raw := srv.Client(t, withoutRetries)
	eventually(t, "the server is loading", func() bool {
		return redis.HasErrorPrefix(raw.Ping(t.Context()).Err(), "LOADING")
	})
	requireDown(t, s.URL, call{key: newKey()}, time.Second)
	requireDown(t, s.URL, done, time.Second)
	assert.Equal(t, 1, s.Runs())
	require.True(t, redis.HasErrorPrefix(raw.Ping(t.Context()).Err(), "LOADING"), "all the while")
	<-restarted
	eventually(t, "it serves again", func() bool { return send(t, s.URL, done).Header.Get("Idempotent-Replayed") == "true" })
}

func TestS12_RecordThatCannotBeReadIsNeitherRunOverNorTouched(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	srv := shared.Server(t)
	rdb := srv.Client(t)
	s := newService(t, setup{namespace: ns})
	set := func(value string) func(*testing.T, string) {
		return func(t *testing.T, name string) {
			require.NoError(t, rdb.Set(t.Context(), name, value, time.Hour).Err())
		}
	}
	edit := func(change func(raw string) string) func(*testing.T, string) {
		return func(t *testing.T, name string) {
			set(change(rdb.Get(t.Context(), name).Val()))(t, name)
		}
	}
	flip := func(at int) func(string) string {
		return func(raw string) string {
			at := (at + len(raw)) % len(raw)
			return raw[:at] + string(raw[at]^1) + raw[at+1:]
		}
	}
	other := call{key: newKey()}
	requireExecuted(t, send(t, s.URL, other))
	tests := map[string]func(t *testing.T, name string){
		"empty":              set(""),
		"foreign":            set("somebody else's value"),
		"newer format":       edit(func(raw string) string { return "RPR2" + raw[4:] }),
		"older unknown":      edit(func(raw string) string { return "RPR0" + raw[4:] }),
		"head only":          edit(func(raw string) string { return raw[:161] }),
		"answer cut off":     edit(func(raw string) string { return raw[:len(raw)-1] }),
		"answer missing":     edit(func(raw string) string { return raw[:341+len("POST /orders")] }),
		"something appended": edit(func(raw string) string { return raw + "x" }),
		"bit of the body":    edit(flip(-12)),
		"bit of the sum":     edit(flip(-1)),
		"unknown state":      edit(func(raw string) string { return raw[:4] + "X" + raw[5:] }),
		"letter in a number": edit(func(raw string) string { return raw[:9] + "x" + raw[10:] }),
		"another key's": func(t *testing.T, name string) {
			set(rdb.Get(t.Context(), recordName(ns, idOf(other.key))).Val())(t, name)
		},
		"a list": func(t *testing.T, name string) {
			require.NoError(t, rdb.Del(t.Context(), name).Err())
			require.NoError(t, rdb.RPush(t.Context(), name, "a").Err())
		},
		"a hash": func(t *testing.T, name string) {
			require.NoError(t, rdb.Del(t.Context(), name).Err())
			require.NoError(t, rdb.HSet(t.Context(), name, "state", "completed").Err())
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			c := call{key: newKey()}
			requireExecuted(t, send(t, s.URL, c))
			record := recordName(ns, idOf(c.key))
			spoil(t, record)
			before, ttl := rdb.Dump(t.Context(), record).Val(), rdb.PTTL(t.Context(), record).Val()
			require.NotEmpty(t, before)
			runs := s.Runs()
			for range 2 {
				resp := send(t, s.URL, c)
				p := requireProblem(t, resp, 503, "record_unreadable")
				assert.False(t, p.Retryable)
				assert.Equal(t, "rejected", resp.Header.Get("Idempotency-Status"))
				assert.Empty(t, resp.Header.Get("Retry-After"))
			}
			assert.Equal(t, runs, s.Runs())
			assert.Equal(t, before, rdb.Dump(t.Context(), record).Val())
			assert.LessOrEqual(t, rdb.PTTL(t.Context(), record).Val(), ttl)
		})
	}
}

func TestS12_F41_F95_RecordSpoiledWhileTheHandlerRunsIsNotTouched(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	rdb := shared.Server(t).Client(t)
	for name, length := range map[string]int{"small": 10, "large": 100_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			started, goOn := make(chan struct{}, 1), make(chan struct{})
			events := newEvents()
			s := newService(t, setup{
				namespace: ns, policy: idempotency.Policy{Lease: 300 * time.Millisecond},
				guard: []idempotency.Option{idempotency.WithTrace(events.trace())},
				handler: func(w http.ResponseWriter, r *http.Request) {
					started <- struct{}{}
					select {
					case <-goOn:
					case <-t.Context().Done():
					}
					_, _ = io.WriteString(w, strings.Repeat("x", length))
				},
			})
			c := call{key: newKey()}
			answer := background(t, s.URL, c)
			<-started
			record := recordName(ns, idOf(c.key))
			require.NoError(t, rdb.Set(t.Context(), record, "foreign", time.Hour).Err())
			close(goOn)
			first := <-answer
			assert.Equal(t, 200, first.Status)
			assert.Len(t, first.Body, length)
			assert.Equal(t, "unrecorded", first.Header.Get("Idempotency-Status"))
			require.ErrorIs(t, next(t, "the completion", events.settled).Err, store.ErrUnreadable)
			assert.Equal(t, "foreign", rdb.Get(t.Context(), record).Val())
			requireProblem(t, send(t, s.URL, c), 503, "record_unreadable")
			assert.Len(t, shared.Server(t).Keys(record+"*"), 1, "nothing is left of the answer's way")
		})
	}
}

package conformance_test

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/paytest"
	"github.com/reprise-go/reprise/internal/redistest"
)

// newMeasuredNode returns a node whose check of the store is over and whose
// scripts are loaded, so that every round trip counted after it is a request's.
func newMeasuredNode(t *testing.T, srv *redistest.Server, with setup, mutators ...func(*redis.Options)) *node {
	t.Helper()
	loadScripts(t, srv)
	n := newNode(t, srv, with, mutators...)
	eventually(t, "the check of the store", func() bool {
		sent := n.line.Requests()
		return sent["info"] == 2 && sent["config"] == 1 && sent["evalsha"] == 1 && sent["unsubscribe"] == 1
	})
	n.line.ResetCounts()
	return n
}

func TestRoundTripsPerRequest(t *testing.T) {
	t.Parallel()
	redistest.NotWithLocalCache(t, "it adds a PTTL to each claim")
	const lease = 4 * time.Second
	n := newMeasuredNode(t, shared.Server(t), setup{
		policy: idempotency.Policy{Lease: lease, MaxResponseBody: 2 << 20, Orphan: idempotency.OrphanRerunUnmarked},
		handler: func(w http.ResponseWriter, r *http.Request) {
			switch r.Header.Get("X-Do") {
			case "mark":
				assert.NoError(t, idempotency.MarkEffect(r.Context()))
				assert.NoError(t, idempotency.MarkEffect(r.Context()), "the second mark is free")
			case "large":
				_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
				return
			case "wait":
				time.Sleep(lease / 8) // faster than a third of the lease
			case "fail":
				w.WriteHeader(503)
			}
			_, _ = io.WriteString(w, "small")
		},
	})
	claim := []string{"evalsha", "get"}
	script := []string{"evalsha"}
	tests := []struct {
		do            string
		first, second [][]string
	}{
		{"nothing", [][]string{claim, script}, [][]string{claim}},
		{"mark", [][]string{claim, script, script}, [][]string{claim}},
		{"large", [][]string{claim, {"set", "evalsha"}}, [][]string{claim}},
		{"wait", [][]string{claim, script}, [][]string{claim}},
		{"fail", [][]string{claim, script}, [][]string{claim, script}}, // releases, and runs again
	}
	for _, test := range tests {
		c := call{key: newKey(), body: "B", header: http.Header{"X-Do": {test.do}}}
		send(t, n.URL, c)
		assert.Equal(t, test.first, n.line.Packets(), test.do)
		n.line.ResetCounts()
		send(t, n.URL, c)
		assert.Equal(t, test.second, n.line.Packets(), "again "+test.do)
		n.line.ResetCounts()
	}
	c := call{key: newKey(), body: "B", header: http.Header{"X-Do": {"wait"}}}
	first := background(t, n.URL, c)
	eventually(t, "it runs", func() bool { return n.line.RoundTrips() == 1 })
	requireProblem(t, send(t, n.URL, c), 409, "in_progress")
	other := c
	other.body = "B'"
	requireProblem(t, send(t, n.URL, other), 422, "idempotency_key_reused")
	<-first
	assert.Equal(t, 4, n.line.RoundTrips(), "a refusal is one: %v", n.line.Packets())
}

// The other side of "no renewal for a fast handler": this is what one looks
// like for a slow handler.
func TestSlowHandlersLeaseIsRenewedAtAThird(t *testing.T) {
	t.Parallel()
	const lease = 3 * time.Second
	handler, started, goOn := blocking(t)
	n := newMeasuredNode(t, shared.Server(t), setup{handler: handler, policy: idempotency.Policy{Lease: lease}})
	first := background(t, n.URL, call{key: newKey()})
	<-started
	began := time.Now()
	eventually(t, "the renewal", func() bool { return n.line.RoundTrips() == 2 })
	assert.Greater(t, time.Since(began), lease/4)
	assert.Less(t, time.Since(began), lease*2/3)
	close(goOn)
	requireExecuted(t, <-first)
}

// Through Lua a MiB would block the server for milliseconds.
func TestLargeAnswersNeverPassThroughAScript(t *testing.T) {
	t.Parallel()
	rdb := shared.Server(t).Client(t)
	sizes := &scriptSizes{}
	rdb.AddHook(sizes)
	s := newService(t, setup{redis: rdb, handler: func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
	}})
	twice(t, s, call{})
	assert.Positive(t, sizes.largest.Load())
	assert.Less(t, sizes.largest.Load(), int64(16<<10), "sent to or returned by a script")
}

// scriptSizes notes the largest string that goes to or comes from a script.
type scriptSizes struct{ largest atomic.Int64 }

func (s *scriptSizes) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *scriptSizes) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		s.note(cmd)
		return err
	}
}

func (s *scriptSizes) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			s.note(cmd)
		}
		return err
	}
}

func (s *scriptSizes) note(cmd redis.Cmder) {
	script, ok := cmd.(*redis.Cmd)
	if !ok || !strings.HasPrefix(cmd.Name(), "eval") {
		return
	}
	values := slices.Clone(cmd.Args())
	if cmd.Name() == "eval" {
		values = values[2:] // the script's own text
	}
	if reply, ok := script.Val().([]any); ok {
		values = append(values, reply...)
	}
	for _, value := range values {
		switch v := value.(type) {
		case string:
			s.atLeast(len(v))
		case []byte:
			s.atLeast(len(v))
		}
	}
}

func (s *scriptSizes) atLeast(n int) {
	for {
		old := s.largest.Load()
		if int64(n) <= old || s.largest.CompareAndSwap(old, int64(n)) {
			return
		}
	}
}

func TestLostReplyToAClaim(t *testing.T) {
	t.Parallel()
	t.Run("the client asks again and owns its claim", func(t *testing.T) {
		t.Parallel()
		n := newMeasuredNode(t, shared.Server(t), setup{handler: attemptNumber})
		c := call{key: newKey()}
		lost := n.line.LoseReply(idOf(c.key).String(), 1)
		first := send(t, n.URL, c)
		assert.Equal(t, 1, lost.Fired())
		requireExecuted(t, first)
		assert.Equal(t, "1", first.Body, "the first attempt, not a second")
		requireReplay(t, first, send(t, n.URL, c))
		assert.Equal(t, 1, n.Runs())
	})
	t.Run("the client gives up and the retry runs at once", func(t *testing.T) {
		t.Parallel()
		n := newMeasuredNode(t, shared.Server(t), setup{handler: attemptNumber}, withoutRetries)
		c := call{key: newKey()}
		n.line.LoseReply(idOf(c.key).String(), 1)
		requireProblem(t, send(t, n.URL, c), 503, "store_unavailable")
		assert.Zero(t, n.Runs())
		settled := next(t, "the release", n.events.settled)
		require.NoError(t, settled.Err)
		assert.Equal(t, "release", settled.Event)
		second := send(t, n.URL, c)
		requireExecuted(t, second)
		assert.Equal(t, "1", second.Body, "what never started is not counted")
		assert.Equal(t, 1, n.Runs())
	})
}

func attemptNumber(w http.ResponseWriter, r *http.Request) {
	info, _ := idempotency.FromContext(r.Context())
	_, _ = io.WriteString(w, string(rune('0'+info.Attempt)))
}

// Two processes, one Redis, one ledger: however the callers of a key race, its
// payment is made once.
func TestC1_TwoProcessesExecuteEachOf1500RacedKeysOnce(t *testing.T) {
	t.Parallel()
	const keyCount, callers, atOnce = 1500, 12, 8
	ledger, ns := filepath.Join(t.TempDir(), "ledger.jsonl"), namespaceOf(t)
	args := []string{"-ledger", ledger, "-namespace", ns, "-orphan", "refuse"}
	urls := []string{startFastPayments(t, args...).URL, startFastPayments(t, args...).URL}
	client := &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: atOnce * callers},
		Timeout:   30 * time.Second,
	}
	defer client.CloseIdleConnections()
	var executed, replayed, conflicts atomic.Int64
	race := func(key string) {
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				switch status := payWith(t, client, urls[i%len(urls)], key); status {
				case "executed":
					executed.Add(1)
				case "replayed":
					replayed.Add(1)
				case "conflict":
					conflicts.Add(1)
				default:
					t.Errorf("%s: %q", key, status)
				}
			})
		}
		wg.Wait()
	}
	work := make(chan string)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for key := range work {
				race(key)
			}
		})
	}
	for range keyCount {
		work <- newKey()
	}
	close(work)
	workers.Wait()

	assert.EqualValues(t, keyCount, executed.Load())
	assert.Positive(t, replayed.Load()+conflicts.Load())
	list := paytest.Entries(t, ledger)
	seen := make(map[string]bool, len(list))
	for _, e := range list {
		assert.False(t, seen[e.KeyHash], "%s was charged twice", e.KeyHash)
		seen[e.KeyHash] = true
	}
	assert.Len(t, seen, keyCount)
	t.Logf("%d executed, %d replayed, %d conflicts", executed.Load(), replayed.Load(), conflicts.Load())
}

// payWith pays over a client that keeps its connections and returns the mark,
// or the status if the answer is neither 201 nor 409.
func payWith(t *testing.T, client *http.Client, url, key string) string {
	resp, err := client.Do(newRequest(t, url, pay(key, "tok_visa")))
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err.Error()
	}
	if resp.StatusCode != 201 && resp.StatusCode != 409 {
		return resp.Status
	}
	return resp.Header.Get("Idempotency-Status")
}

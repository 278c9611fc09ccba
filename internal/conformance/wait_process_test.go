package conformance_test

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/paytest"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
)

// duplicates are equal requests that are under way.
type duplicates struct {
	written sync.WaitGroup // until the last of them has gone out
	ended   sync.WaitGroup
	answers []late
}

// late is an answer and how long it took; 0 is a request that failed.
type late struct {
	response
	after time.Duration
}

// sendDuplicates sends a call many times at once, one after the other to each of
// the services.
func sendDuplicates(t *testing.T, n int, c call, to ...*paytest.Process) *duplicates {
	t.Helper()
	d := &duplicates{answers: make([]late, n)}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	d.written.Add(n)
	for i := range d.answers {
		gone := sync.OnceFunc(d.written.Done)
		req := newRequest(t, to[i%len(to)].URL, c)
		req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			WroteRequest: func(httptrace.WroteRequestInfo) { gone() },
		}))
		d.ended.Go(func() {
			defer gone()
			d.answers[i] = sendTimed(t, client, req)
		})
	}
	return d
}

func sendTimed(t *testing.T, client *http.Client, req *http.Request) late {
	t.Helper()
	began := time.Now()
	resp, err := client.Do(req)
	if !assert.NoError(t, err) {
		return late{}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	assert.NoError(t, err)
	return late{response{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}, time.Since(began)}
}

// all returns the answers, once all have come.
func (d *duplicates) all(t *testing.T) []late {
	t.Helper()
	d.ended.Wait()
	for _, a := range d.answers {
		require.NotZero(t, a.after, "a request failed")
	}
	slowest := slices.MaxFunc(d.answers, func(a, b late) int { return int(a.after - b.after) })
	t.Logf("%d answers, the last after %v", len(d.answers), slowest.after.Round(time.Millisecond))
	return d.answers
}

// requireOneAnswer asserts that all got the one answer that was recorded, and
// that as many of them ran it as is said.
func requireOneAnswer(t *testing.T, answers []late, executed int) {
	t.Helper()
	ran := 0
	for _, a := range answers {
		require.Equal(t, 201, a.Status, a.Body)
		require.Equal(t, answers[0].Body, a.Body)
		require.Equal(t, answers[0].Header["Location"], a.Header["Location"])
		if a.Header.Get("Idempotent-Replayed") == "true" {
			continue
		}
		requireExecuted(t, a.response)
		ran++
	}
	require.Equal(t, executed, ran, "executions among %d answers", len(answers))
}

// warmUp has instances connected to their store, which then knows their scripts:
// on a busy machine the time limit of a claim may be too short for that.
func warmUp(t *testing.T, instances ...*paytest.Process) {
	t.Helper()
	for _, p := range instances {
		requireExecuted(t, send(t, p.URL, pay(newKey(), "tok_declined")))
	}
}

func waitedFor(rec store.Record) bool { return rec.State == store.Running && rec.Waiters }

func TestFiveHundredDuplicatesOverTwoInstancesWaitForTheOneAnswer(t *testing.T) {
	t.Parallel()
	const wait = 5 * time.Second
	f := newFleet(t, "-wait", wait.String())
	requireFiveHundred(t, wait, f.ledger, f.one, f.two)
}

func TestFiveHundredDuplicatesOfOneInstanceWithItsOwnStore(t *testing.T) {
	t.Parallel()
	const wait = 5 * time.Second
	for _, records := range []string{"embedded", "memory"} {
		t.Run(records, func(t *testing.T) {
			t.Parallel()
			ledger := filepath.Join(t.TempDir(), "ledger.jsonl")
			one := startPayments(t, "-redis", records, "-wait", wait.String(), "-ledger", ledger)
			requireFiveHundred(t, wait, ledger, one)
		})
	}
}

func requireFiveHundred(t *testing.T, wait time.Duration, ledger string, to ...*paytest.Process) {
	t.Helper()
	warmUp(t, to...)
	c := pay(newKey(), "tok_slow_1s")
	answers := sendDuplicates(t, 500, c, to...).all(t)
	requireOneAnswer(t, answers, 1)
	assert.Len(t, paytest.Entries(t, ledger), 1)
	for _, a := range answers {
		assert.Less(t, a.after, wait)
	}
}

func TestKilledOwnerIsSucceededByOneOfThoseWhoWaitOrByNone(t *testing.T) {
	t.Parallel()
	const lease, wait = time.Second, 10 * time.Second
	tests := []struct {
		name, orphan, source string
		reached              func(store.Record) bool
		reruns               bool
	}{
		{"rerun-unmarked, nothing marked", "rerun-unmarked", "tok_slow_2s", running, true},
		{"rerun-unmarked, marked", "rerun-unmarked", "tok_stubborn_2s", marked, false},
		{"rerun, nothing marked", "rerun", "tok_slow_2s", running, true},
		{"rerun, marked", "rerun", "tok_stubborn_2s", marked, true},
		{"refuse, nothing marked", "refuse", "tok_slow_2s", running, false},
		{"refuse, marked", "refuse", "tok_stubborn_2s", marked, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			flags := []string{"-lease", lease.String(), "-wait", wait.String(), "-orphan", test.orphan}
			f := newFleet(t, flags...)
			three := f.another(t, flags...)
			warmUp(t, f.one, f.two, three)
			c := pay(newKey(), test.source)
			failed := die(t, f.one.URL, c)
			f.await(t, c.key, "the handler runs", test.reached)
			duplicates := sendDuplicates(t, 120, c, f.two, three)
			duplicates.written.Wait()
			f.await(t, c.key, "they wait", waitedFor)
			rdb, channel := shared.Server(t).Client(t), recordName(f.namespace, paymentID(c.key))
			eventually(t, "on both", func() bool {
				return rdb.PubSubNumSub(t.Context(), channel).Val()[channel] == 2
			})
			f.one.Kill()
			require.Error(t, next(t, "the client's error", failed))

			answers := duplicates.all(t)
			for _, a := range answers {
				assert.Less(t, a.after, wait)
			}
			if test.reruns {
				requireOneAnswer(t, answers, 1)
				assert.Len(t, paytest.Entries(t, f.ledger), 1, "of both that were left, one has run")
				assert.Equal(t, 2, lookup(t, f.records, paymentID(c.key)).Attempt)
				return
			}
			for _, a := range answers {
				requireProblem(t, a.response, 409, "outcome_unknown")
			}
			assert.Empty(t, paytest.Entries(t, f.ledger), "killed before the charge, and nobody ran after it")
			assert.Equal(t, 1, lookup(t, f.records, paymentID(c.key)).Attempt)
		})
	}
}

// another starts one more process of a fleet.
func (f *fleet) another(t *testing.T, args ...string) *paytest.Process {
	t.Helper()
	return startPayments(t, append(args, "-namespace", f.namespace, "-ledger", f.ledger)...)
}

// pair is two instances on a Redis of their own, which a test may stop.
func pair(t *testing.T, srv *redistest.Server, args ...string) *fleet {
	t.Helper()
	f := &fleet{namespace: namespaceOf(t), line: faultproxy.Start(t, srv.Addr())}
	f.records = openRedis(t, srv.Client(t), f.namespace)
	args = append(args, "-namespace", f.namespace)
	f.one = startPayments(t, append(args, "-redis", srv.URL())...)
	f.ledger = f.one.Ledger
	f.two = startPayments(t, append(args, "-redis", srv.URL(), "-ledger", f.ledger)...)
	return f
}

func TestThoseWhoWaitOutliveARestartOfRedis(t *testing.T) {
	t.Parallel()
	const wait = 6 * time.Second
	srv := redistest.Start(t, redistest.AOF())
	f := pair(t, srv, "-wait", wait.String())
	c := pay(newKey(), "tok_slow_2s")
	first := background(t, f.one.URL, c)
	f.await(t, c.key, "the handler runs", running)
	duplicates := sendDuplicates(t, 50, c, f.one, f.two)
	duplicates.written.Wait()
	f.await(t, c.key, "they wait", waitedFor)
	srv.Kill()
	srv.Restart()

	answers := duplicates.all(t)
	requireOneAnswer(t, answers, 0)
	requireReplay(t, <-first, answers[0].response)
	assert.Len(t, paytest.Entries(t, f.ledger), 1)
	for _, a := range answers {
		assert.Less(t, a.after, wait)
	}
}

func TestThoseWhoWaitForALostRedisEndAtTheirLimit(t *testing.T) {
	t.Parallel()
	const wait = 3 * time.Second
	srv := redistest.Start(t, redistest.AOF())
	f := pair(t, srv, "-wait", wait.String())
	c := pay(newKey(), "tok_slow_1s")
	first := background(t, f.one.URL, c)
	f.await(t, c.key, "the handler runs", running)
	duplicates := sendDuplicates(t, 50, c, f.two)
	duplicates.written.Wait()
	f.await(t, c.key, "they wait", waitedFor)
	srv.Kill()

	for _, a := range duplicates.all(t) {
		p := requireProblem(t, a.response, 503, "store_unavailable")
		assert.True(t, p.Retryable)
		assert.NotEmpty(t, a.Header.Get("Retry-After"))
		assert.Less(t, a.after, wait+2*time.Second)
	}
	assert.Equal(t, 503, (<-first).Status, "its effect could not be marked")
	assert.Empty(t, paytest.Entries(t, f.ledger))
}

func TestDrainTellsThoseWhoWaitAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "-wait", "9s")
	c := pay(newKey(), "tok_slow_4s")
	first := background(t, f.one.URL, c)
	f.await(t, c.key, "the handler runs", running)
	began := time.Now()
	duplicates := sendDuplicates(t, 50, c, f.one, f.two)
	duplicates.written.Wait()
	f.await(t, c.key, "they wait", waitedFor)
	for _, p := range []*paytest.Process{f.one, f.two} {
		health := send(t, p.Base+"/healthz", call{method: http.MethodGet})
		require.Equal(t, 200, health.Status, "it has accepted all that came before")
		p.Signal(t, syscall.SIGTERM)
	}

	for _, a := range duplicates.all(t) {
		p := requireProblem(t, a.response, 503, "draining")
		assert.True(t, p.Retryable)
		assert.Equal(t, "1", a.Header.Get("Retry-After"))
	}
	assert.Less(t, time.Since(began), 3*time.Second, "they did not wait for the handler")
	select {
	case resp := <-first:
		require.Fail(t, "the handler has ended before them", "%+v", resp)
	default:
	}
	requireExecuted(t, <-first)
	assert.Zero(t, f.one.Wait(t))
	assert.Zero(t, f.two.Wait(t))
	assert.Len(t, paytest.Entries(t, f.ledger), 1)
}

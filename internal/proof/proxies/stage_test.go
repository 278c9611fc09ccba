package proxies_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/paytest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// setting is what differs between tests.
type setting struct {
	timeout time.Duration // of the proxy; 0 is longer than anything here takes
	args    []string      // of both instances
	both    bool          // A and B share the load; otherwise B is there for what A does not answer
}

// stage is a proxy, two instances behind it on one Redis, and a client.
type stage struct {
	url     string // of payments, at the proxy
	a, b    *paytest.Process
	line    *faultproxy.Proxy // between A and Redis
	records store.Store
}

func newStage(t *testing.T, kind proxyKind, with setting) *stage {
	t.Helper()
	kind.find(t)
	srv := shared.Server(t)
	namespace := "proxies-" + rand.Text()
	records, err := redisstore.New(srv.Client(t), redisstore.Namespace(namespace))
	require.NoError(t, err)
	t.Cleanup(func() { _ = records.Close() })
	s := &stage{line: faultproxy.Start(t, srv.Addr()), records: records}
	args := append(with.args, "-namespace", namespace, "-ledger", filepath.Join(t.TempDir(), "ledger.jsonl"), "-log", "json")
	s.a = payments.Start(t, append(args, "-redis", "redis://"+s.line.Addr()+"/0")...)
	s.b = payments.Start(t, append(args, "-redis", srv.URL())...)
	s.warmUp(t)
	if with.timeout == 0 {
		with.timeout = 20 * time.Second
	}
	addr := startProxy(t, kind, backends{A: s.a.Addr(), B: s.b.Addr(), Standby: !with.both, Timeout: with.timeout})
	s.url = "http://" + addr + "/v1/payments"
	return s
}

// answer is what the client got.
type answer struct {
	Status int
	Header http.Header
	Body   string
	After  time.Duration
}

// pay makes a payment through the proxy.
func (s *stage) pay(t *testing.T, key, source string) answer {
	t.Helper()
	a, err := try(t, s.url, key, source)
	require.NoError(t, err)
	return a
}

// start makes a payment and lets the test go on.
func (s *stage) start(t *testing.T, key, source string) <-chan answer {
	t.Helper()
	answers := make(chan answer, 1)
	go func() {
		a, err := try(t, s.url, key, source)
		assert.NoError(t, err)
		answers <- a
	}()
	return answers
}

func try(t *testing.T, url, key, source string) (answer, error) {
	t.Helper()
	body := fmt.Sprintf(`{"amount":1999,"currency":"EUR","source":%q}`, source)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer sk_test_acme")
	req.Header.Set("Idempotency-Key", key)
	// A new connection each time: on one that was kept, Go's client itself would
	// send again a request that has a key.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 40 * time.Second}
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(raw), time.Since(began)}, err
}

// code returns the code of a problem.
func (a answer) code() string {
	var p struct {
		Code string `json:"code"`
	}
	if a.Header.Get("Content-Type") != "application/problem+json" || json.Unmarshal([]byte(a.Body), &p) != nil {
		return ""
	}
	return p.Code
}

// requireProblem asserts that the client got a refusal as an instance wrote it.
func requireProblem(t *testing.T, a answer, status int, code string) {
	t.Helper()
	require.Equal(t, status, a.Status, a.Body)
	require.Equal(t, code, a.code(), a.Body)
}

// next waits for something for a bounded time.
func next[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(30 * time.Second):
		require.Fail(t, "waited in vain", what)
		panic("unreachable")
	}
}

// recordOf names the record of a payment.
func recordOf(key string) store.ID { return store.NewID("acme", "POST /v1/payments", key) }

func (s *stage) lookup(t *testing.T, key string) store.Record {
	t.Helper()
	rec, err := s.records.Lookup(t.Context(), recordOf(key))
	require.NoError(t, err)
	return rec
}

// await waits until the record of a payment is as wanted.
func (s *stage) await(t *testing.T, key, what string, is func(store.Record) bool) {
	t.Helper()
	require.Eventually(t, func() bool { return is(s.lookup(t, key)) }, 15*time.Second, 5*time.Millisecond, what)
}

func running(rec store.Record) bool { return rec.State == store.Running }
func marked(rec store.Record) bool  { return rec.State == store.Running && rec.Marked }

// charges returns the charges of a key.
func (s *stage) charges(t *testing.T, key string) []paytest.Entry {
	t.Helper()
	hash := recordOf(key).String()[:16]
	return slices.DeleteFunc(s.a.Entries(t), func(e paytest.Entry) bool { return e.KeyHash != hash || e.Kind != "charge" })
}

// requireOneChargeBy asserts that a key has one charge, that this instance made
// it, and that it is the one of which an answer with success tells.
func (s *stage) requireOneChargeBy(t *testing.T, p *paytest.Process, key string, a answer) {
	t.Helper()
	list := s.charges(t, key)
	require.Len(t, list, 1)
	assert.True(t, strings.HasSuffix(list[0].Instance, fmt.Sprintf("-%d", p.PID())), list[0].Instance)
	if a.Status == http.StatusCreated {
		assert.Contains(t, a.Body, list[0].Payment)
	}
}

// warmUps is how many charges warmUp leaves in the ledger.
const warmUps = 2

// warmUp has both instances connect to Redis and load their scripts, so that
// each step of a payment is one request from here on and can be told by its
// number.
func (s *stage) warmUp(t *testing.T) {
	t.Helper()
	for _, p := range []*paytest.Process{s.a, s.b} {
		a, err := try(t, p.URL, fmt.Sprintf("warm-up-%d", p.PID()), "tok_visa")
		require.NoError(t, err)
		require.Equal(t, http.StatusCreated, a.Status, a.Body)
	}
}

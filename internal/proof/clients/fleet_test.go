package clients_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store/redisstore"
)

// loss says what becomes of the first request's answer.
type loss int

const (
	cutWhileItRuns  loss = iota + 1 // the connection breaks when the handler has begun
	cutWhenRecorded                 // and here when its answer has been recorded
	neverSent                       // the connection stays, and the client has to lose patience
	outage                          // nothing is lost: the handler says 503 before any effect
)

// fleet is two instances of a service on one Redis whose duplicates wait. It
// serves requests in turns, and something becomes of the first one's answer.
type fleet struct {
	*httptest.Server

	loss   loss
	nodes  [2]http.Handler
	guards [2]*idempotency.Guard
	finish chan struct{} // closed when runs may end

	mu   sync.Mutex
	cut  func() // of the request whose connection breaks while it runs
	keys []string
	runs int // that had an effect
}

func newFleet(t *testing.T, of loss) *fleet {
	t.Helper()
	f := &fleet{loss: of, finish: make(chan struct{})}
	if of == cutWhenRecorded || of == outage {
		close(f.finish)
	}
	srv, namespace := shared.Server(t), "clients-"+rand.Text()
	for i := range f.nodes {
		records, err := redisstore.New(srv.Client(t), redisstore.Namespace(namespace))
		require.NoError(t, err)
		f.guards[i], f.nodes[i] = f.node(t, records)
	}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *fleet) node(t *testing.T, records *redisstore.Store) (*idempotency.Guard, http.Handler) {
	t.Helper()
	guard, err := idempotency.New(records)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.NoError(t, guard.Shutdown(ctx))
		assert.NoError(t, records.Close())
	})
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	require.NoError(t, err)
	mux := http.NewServeMux()
	policy := idempotency.Policy{Wait: 20 * time.Second}
	require.NoError(t, mw.Handle(mux, "POST /v1/charges", http.HandlerFunc(f.charge), policy))
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	return guard, mux
}

// serve gives requests to the nodes in turns.
func (f *fleet) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		f.nodes[0].ServeHTTP(w, r)
		return
	}
	f.mu.Lock()
	n := len(f.keys)
	f.keys = append(f.keys, r.Header.Get("Idempotency-Key"))
	f.mu.Unlock()
	if n > 0 || f.loss == outage {
		f.nodes[n%2].ServeHTTP(w, r)
		return
	}
	f.serveInVain(w, r)
}

// serveInVain has the first node serve a request whose client never hears of it.
func (f *fleet) serveInVain(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer func() { _ = conn.Close() }()
	if f.loss == cutWhileItRuns {
		f.setCut(conn)
	}
	f.nodes[0].ServeHTTP(httptest.NewRecorder(), r)
}

func (f *fleet) setCut(conn net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = func() { _ = conn.Close() }
}

func (f *fleet) charge(w http.ResponseWriter, r *http.Request) {
	if info, _ := idempotency.FromContext(r.Context()); f.loss == outage && info.Attempt == 1 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	f.mu.Lock()
	if f.cut != nil {
		f.cut()
	}
	f.runs++
	run := f.runs
	f.mu.Unlock()
	<-f.finish
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, `{"id":"ch_%d","object":"charge","amount":%s}`, run, r.FormValue("amount"))
}

// finishWhenADuplicateWaits lets the first run end once another request waits
// for its answer, and returns at once.
func (f *fleet) finishWhenADuplicateWaits(t *testing.T) {
	t.Helper()
	if f.loss == cutWhenRecorded || f.loss == outage {
		return
	}
	done := make(chan struct{})
	t.Cleanup(func() { <-done })
	go func() {
		defer close(done)
		defer close(f.finish)
		assert.Eventually(t, f.waits, 30*time.Second, 5*time.Millisecond, "a duplicate waits")
	}()
}

func (f *fleet) waits() bool {
	return slices.ContainsFunc(f.guards[:], func(g *idempotency.Guard) bool { return g.Stats()[0].Waiting > 0 })
}

// requireOneRun asserts that the client asked more than once, always under one
// key, and that what it got is the answer of the only execution.
func (f *fleet) requireOneRun(t *testing.T, status int, mark, charge string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	assert.Equal(t, http.StatusCreated, status)
	assert.Equal(t, "ch_1", charge)
	assert.Equal(t, 1, f.runs, "one execution")
	want := "replayed"
	if f.loss == outage {
		want = "executed"
	}
	assert.Equal(t, want, mark)
	require.GreaterOrEqual(t, len(f.keys), 2, "it asked again")
	assert.NotEmpty(t, f.keys[0])
	assert.Len(t, slices.Compact(slices.Clone(f.keys)), 1, "one key")
}

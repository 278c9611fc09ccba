package conformance_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// setup says how a service under test is made. The zero setup is a service
// with the defaults on the shared Redis, in a namespace of its own.
type setup struct {
	redis     *redis.Client // instead of the shared one
	store     store.Store   // instead of one on Redis
	namespace string        // instead of the test's own, to share with others
	policy    idempotency.Policy
	options   []idempotency.OperationOption // beside the policy
	guard     []idempotency.Option
	http      []idemhttp.Option // instead of the scope by X-Tenant
	handler   http.HandlerFunc  // instead of R
	wrap      func(http.Handler) http.Handler
	pattern   string // instead of POST /orders
}

// service is a protected HTTP service on a socket of its own.
type service struct {
	URL    string
	Server *httptest.Server
	Guard  *idempotency.Guard
	Mux    *http.ServeMux
	MW     *idemhttp.Middleware
	runs   *atomic.Int64
}

// Runs returns how often the handler was started.
func (s *service) Runs() int { return int(s.runs.Load()) }

// newService starts a service. It is drained and closed when the test ends.
func newService(t *testing.T, with setup) *service {
	t.Helper()
	s := &service{runs: new(atomic.Int64), Mux: http.NewServeMux()}
	options := append([]idempotency.Option{idempotency.WithLogger(slog.New(slog.DiscardHandler))}, with.guard...)
	var err error
	s.Guard, err = idempotency.New(with.openStore(t), options...)
	require.NoError(t, err)
	if with.http == nil {
		with.http = []idemhttp.Option{idemhttp.Scope(tenant)}
	}
	s.MW, err = idemhttp.New(s.Guard, with.http...)
	require.NoError(t, err)
	if with.pattern == "" {
		with.pattern = "POST /orders"
	}
	if with.handler == nil {
		with.handler = s.order
	} else {
		with.handler = s.counted(with.handler)
	}
	require.NoError(t, s.MW.Handle(s.Mux, with.pattern, with.handler, append(with.options, with.policy)...))
	var root http.Handler = s.Mux
	if with.wrap != nil {
		root = with.wrap(root)
	}
	s.Server = httptest.NewServer(root)
	s.URL = s.Server.URL + "/orders"
	t.Cleanup(func() {
		s.Server.CloseClientConnections()
		s.Server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = s.Guard.Shutdown(ctx) // tests that care about it call it themselves
	})
	return s
}

func (with setup) openStore(t *testing.T) store.Store {
	t.Helper()
	if with.store != nil {
		return with.store
	}
	if with.redis == nil {
		with.redis = shared.Server(t).Client(t)
	}
	if with.namespace == "" {
		with.namespace = namespaceOf(t)
	}
	return openRedis(t, with.redis, with.namespace)
}

func openRedis(t *testing.T, rdb redis.UniversalClient, namespace string) *redisstore.Store {
	t.Helper()
	st, err := redisstore.New(rdb, append(redistest.StoreOptions(t), redisstore.Namespace(namespace))...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// namespaceOf keeps a test's records apart on the shared Redis.
func namespaceOf(t *testing.T) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, t.Name())
	return fmt.Sprintf("%.40s-%d", name, namespaces.Add(1))
}

var namespaces atomic.Int64

// tenant is the scope of a request: P1 unless it says otherwise.
func tenant(r *http.Request) (string, error) {
	if r.Header.Get("X-Tenant") == "none" {
		return "", nil
	}
	return "tenant-" + r.Header.Get("X-Tenant"), nil
}

// order is the handler of R.
func (s *service) order(w http.ResponseWriter, _ *http.Request) {
	n := s.runs.Add(1)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Location", fmt.Sprintf("/orders/%d", n))
	h.Set("ETag", fmt.Sprintf(`"v%d"`, n))
	h.Set("Set-Cookie", "session=secret")
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, "{\"run\": %d}\n", n)
}

func (s *service) counted(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.runs.Add(1)
		handler(w, r)
	}
}

// blocking returns a handler that tells when it has started and answers 201
// once it may go on, or when the test ends: a server's end waits for its
// handlers.
func blocking(t *testing.T) (handler http.HandlerFunc, started chan context.Context, goOn chan struct{}) {
	t.Helper()
	started, goOn = make(chan context.Context, 16), make(chan struct{})
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		started <- r.Context()
		select {
		case <-goOn:
		case <-t.Context().Done():
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "done")
	}, started, goOn
}

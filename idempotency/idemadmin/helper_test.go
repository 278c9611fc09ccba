package idemadmin_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemadmin"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

const operation = "POST /pay"

// desk is a guarded service and its operator's page, mounted under /ops.
type desk struct {
	t     *testing.T
	guard *idempotency.Guard
	api   *http.ServeMux
	page  http.Handler
	bare  http.Handler // the page without a prefix
	runs  int

	mu      sync.Mutex
	settled []idempotency.Settled
}

func (d *desk) settledBy() []idempotency.Settled {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.settled
}

// execute runs an operation that waits, and reports whether it was recorded.
func (d *desk) execute(op *idempotency.Operation, started chan<- context.Context, goOn <-chan struct{}) bool {
	result, err := op.Execute(context.Background(), idempotency.Call{Scope: "acme", Key: "k"}, func(ctx context.Context) idempotency.Answer {
		started <- ctx
		<-goOn
		return idempotency.Answer{Class: idempotency.ClassRecord, Answer: store.Answer{Codec: "test"}}
	})
	return err == nil && result.Recorded
}

// newDesk makes a service whose handler ends as the request's body says.
func newDesk(t *testing.T, opts ...idemadmin.Option) *desk {
	t.Helper()
	records, err := memstore.New()
	require.NoError(t, err)
	return newDeskOn(t, records, opts...)
}

func newDeskOn(t *testing.T, records store.Store, opts ...idemadmin.Option) *desk {
	t.Helper()
	d := &desk{t: t, api: http.NewServeMux()}
	var err error
	audit := func(_ context.Context, s idempotency.Settled) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.settled = append(d.settled, s)
	}
	d.guard, err = idempotency.New(records, idempotency.WithLogger(slog.New(slog.DiscardHandler)),
		idempotency.WithTrace(idempotency.Trace{Settled: audit}))
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.guard.Shutdown(context.Background()) })
	mw, err := idemhttp.New(d.guard, idemhttp.Scope(func(r *http.Request) (string, error) { return r.Header.Get("X-Tenant"), nil }))
	require.NoError(t, err)
	require.NoError(t, mw.Handle(d.api, operation, http.HandlerFunc(d.pay)))
	page, err := idemadmin.New(d.guard, opts...)
	require.NoError(t, err)
	d.bare = page
	mux := http.NewServeMux()
	mux.Handle("/ops", http.StripPrefix("/ops", page))
	mux.Handle("/ops/", http.StripPrefix("/ops", page))
	d.page = mux
	return d
}

func (d *desk) pay(w http.ResponseWriter, r *http.Request) {
	d.runs++
	body, _ := io.ReadAll(r.Body)
	switch string(body) {
	case "unknown":
		_ = idempotency.MarkEffect(r.Context())
		w.WriteHeader(http.StatusGatewayTimeout)
	case "release":
		w.WriteHeader(http.StatusServiceUnavailable)
	case "bidi":
		w.Header().Set("Location", "/pay/\u202egnp.1")
		_, _ = io.WriteString(w, "a\u202eb\u2066c\u200bd\r\n\te")
	case "binary":
		_, _ = w.Write([]byte{0, 1, 2, 0xFF})
	default:
		w.Header().Set("Location", "/pay/1")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "<b>secret answer</b>")
	}
}

// post is a client's request. The handler's fate is its body.
func (d *desk) post(key, fate string) *httptest.ResponseRecorder {
	d.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/pay", strings.NewReader(fate))
	r.Header.Set("Idempotency-Key", key)
	r.Header.Set("X-Tenant", "acme")
	w := httptest.NewRecorder()
	d.api.ServeHTTP(w, r)
	return w
}

func (d *desk) id(key string) store.ID { return d.guard.ID(operation, "acme", key) }

func (d *desk) token(key string) store.Token {
	d.t.Helper()
	seen, err := d.guard.Lookup(d.t.Context(), d.id(key))
	require.NoError(d.t, err)
	return seen.Token
}

// browse asks as a browser does.
func (d *desk) browse(path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/ops"+path, nil)
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	return d.serve(r)
}

// submit posts a form as a browser on the page itself does.
func (d *desk) submit(path string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/ops"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return d.serve(r)
}

// call asks as a program does; the body is JSON, or none.
func (d *desk) call(method, path, body string) (*httptest.ResponseRecorder, map[string]any) {
	d.t.Helper()
	r := httptest.NewRequest(method, "/ops"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := d.serve(r)
	var out map[string]any
	require.NoError(d.t, json.Unmarshal(w.Body.Bytes(), &out), w.Body.String())
	return w, out
}

func (d *desk) serve(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	d.page.ServeHTTP(w, r)
	return w
}

// follow goes where an answer redirects to, as a browser resolves it.
func (d *desk) follow(from string, w *httptest.ResponseRecorder) *httptest.ResponseRecorder {
	d.t.Helper()
	require.Equal(d.t, http.StatusSeeOther, w.Code, w.Body.String())
	base, err := url.Parse("/ops" + from)
	require.NoError(d.t, err)
	to, err := base.Parse(w.Header().Get("Location"))
	require.NoError(d.t, err)
	require.True(d.t, strings.HasPrefix(to.Path, "/ops/"), "the prefix is lost: %s", to)
	return d.browse(strings.TrimPrefix(to.String(), "/ops"))
}

// blind is a store that cannot be inspected.
type blind struct{ store.Store }

// fading is a store that is lost after some more looks, if a number is set.
type fading struct {
	*memstore.Store
	looks *int
}

func (f fading) Inspect(ctx context.Context, id store.ID) (store.Sighting, error) {
	if *f.looks--; *f.looks == 0 {
		return store.Sighting{}, store.ErrUnavailable
	}
	return f.Store.Inspect(ctx, id)
}

// broken is a store whose records cannot be had.
type broken struct {
	store.Store
	err error
}

func (b broken) Inspect(context.Context, store.ID) (store.Sighting, error) {
	return store.Sighting{}, b.err
}

func (b broken) List(context.Context, string, int) (store.Page, error) { return store.Page{}, b.err }

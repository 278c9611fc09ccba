package idemhttp_test

import (
	"bytes"
	"context"
	"errors"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store/memstore"
)

// uploads notes the temporary files of forms.
type uploads struct {
	t     *testing.T
	files []string
}

// parse does as a function does that looks into a form.
func (u *uploads) parse(r *http.Request) {
	u.t.Helper()
	require.NoError(u.t, r.ParseMultipartForm(1))
	uploaded, _, err := r.FormFile("doc")
	require.NoError(u.t, err)
	file, onDisk := uploaded.(*os.File)
	require.True(u.t, onDisk)
	u.files = append(u.files, file.Name())
	require.NoError(u.t, file.Close())
	require.FileExists(u.t, file.Name())
}

func upload(t *testing.T, method, key string) *http.Request {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	require.NoError(t, form.SetBoundary("boundary"))
	file, err := form.CreateFormFile("doc", "scan.pdf")
	require.NoError(t, err)
	_, err = file.Write(bytes.Repeat([]byte("x"), 10<<10))
	require.NoError(t, err)
	require.NoError(t, form.Close())
	r := httptest.NewRequestWithContext(t.Context(), method, "/scans", &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	return r
}

// formService parses forms in one place.
func formService(t *testing.T, policy idempotency.Policy, handler http.HandlerFunc, opts ...idemhttp.Option) (protected, status http.Handler) {
	t.Helper()
	records, err := memstore.New()
	require.NoError(t, err)
	guard, err := idempotency.New(records)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, guard.Shutdown(context.Background())) })
	mw, err := idemhttp.New(guard, opts...)
	require.NoError(t, err)
	protect, err := mw.Protect("scans", policy)
	require.NoError(t, err)
	status, err = mw.Status("scans")
	require.NoError(t, err)
	return protect(handler), status
}

// serveAnyhow serves a request whose handler may panic or end its goroutine.
func serveAnyhow(handler http.Handler, r *http.Request) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}()
	<-done
}

// net/http removes the temporary files of its own request only; all that a
// handler and the functions of a middleware see are copies of it.
func TestMultipartFilesOfCopiesAreRemoved(t *testing.T) {
	t.Parallel()
	idle := func(http.ResponseWriter, *http.Request) {}
	global := idemhttp.GlobalScope()
	keyOf := func(u *uploads, key string) idemhttp.Option {
		return idemhttp.KeyFunc(func(r *http.Request) (string, error) { u.parse(r); return key, nil })
	}
	scopeOf := func(u *uploads) idemhttp.Option {
		return idemhttp.Scope(func(r *http.Request) (string, error) { u.parse(r); return "acme", nil })
	}
	handlerThat := func(end func()) func(*testing.T, *uploads) {
		return func(t *testing.T, u *uploads) {
			protected, _ := formService(t, idempotency.Policy{}, func(_ http.ResponseWriter, r *http.Request) { u.parse(r); end() }, global)
			serveAnyhow(protected, upload(t, "POST", "k"))
		}
	}
	tests := []struct {
		name  string
		serve func(*testing.T, *uploads)
	}{
		{"handler", handlerThat(func() {})},
		{"handler that panics", handlerThat(func() { panic(http.ErrAbortHandler) })},
		{"handler that ends its goroutine", handlerThat(runtime.Goexit)},
		{"handler without a key, after a key function", func(t *testing.T, u *uploads) {
			protected, _ := formService(t, idempotency.Policy{Key: idempotency.KeyOptional},
				func(_ http.ResponseWriter, r *http.Request) { u.parse(r) }, global, keyOf(u, ""))
			serveAnyhow(protected, upload(t, "POST", ""))
			assert.Len(t, u.files, 2)
		}},
		{"key function", func(t *testing.T, u *uploads) {
			protected, _ := formService(t, idempotency.Policy{}, idle, global, keyOf(u, "k"))
			serveAnyhow(protected, upload(t, "POST", ""))
		}},
		{"key function that panics", func(t *testing.T, u *uploads) {
			protected, _ := formService(t, idempotency.Policy{}, idle, global,
				idemhttp.KeyFunc(func(r *http.Request) (string, error) { u.parse(r); panic("in the key function") }))
			serveAnyhow(protected, upload(t, "POST", ""))
		}},
		{"scope", func(t *testing.T, u *uploads) {
			protected, _ := formService(t, idempotency.Policy{}, idle, scopeOf(u))
			serveAnyhow(protected, upload(t, "POST", "k"))
		}},
		{"replay guard", func(t *testing.T, u *uploads) {
			protected, _ := formService(t, idempotency.Policy{}, idle, global,
				idemhttp.ReplayGuard(func(r *http.Request, _ idempotency.Recorded) error { u.parse(r); return errors.New("no") }))
			serveAnyhow(protected, upload(t, "POST", "k"))
			serveAnyhow(protected, upload(t, "POST", "k"))
		}},
		{"status", func(t *testing.T, u *uploads) {
			_, status := formService(t, idempotency.Policy{}, idle, scopeOf(u), keyOf(u, "k"))
			serveAnyhow(status, upload(t, "GET", ""))
			assert.Len(t, u.files, 2)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := &uploads{t: t}
			tt.serve(t, u)
			require.NotEmpty(t, u.files)
			for _, file := range u.files {
				assert.NoFileExists(t, file)
			}
		})
	}
}

// What was parsed outside is net/http's, and others may still read it.
func TestMultipartFilesOfTheOriginalStay(t *testing.T) {
	t.Parallel()
	u := &uploads{t: t}
	protected, _ := formService(t, idempotency.Policy{Key: idempotency.KeyOptional},
		func(_ http.ResponseWriter, r *http.Request) { u.parse(r) }, idemhttp.GlobalScope(),
		idemhttp.KeyFunc(func(r *http.Request) (string, error) { u.parse(r); return "", nil }))
	r := upload(t, "POST", "")
	u.parse(r)
	protected.ServeHTTP(httptest.NewRecorder(), r)
	require.Len(t, u.files, 3)
	assert.FileExists(t, u.files[0])
	require.NoError(t, r.MultipartForm.RemoveAll())
}

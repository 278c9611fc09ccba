package idemhttp_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// A table of two routes, of which the second makes the trouble.
type (
	pairRoutes struct {
		First  http.Handler `route:"POST /first" idempotency:"required"`
		Second http.Handler `route:"POST /second" operation:"second" idempotency:"required"`
	}
	mendedRoutes struct {
		First  http.Handler `route:"POST /first" idempotency:"required,retention=72h"`
		Second http.Handler `route:"POST /other" operation:"other" idempotency:"required"`
	}
)

func statusAt(t *testing.T, handler http.Handler, path string) int {
	t.Helper()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, keyedRequest(t.Context(), http.MethodPost, path, "k"))
	return w.Code
}

// A table that fails leaves nothing: what is served, listed and registered is as
// before, and once it is put right it is mounted on the same mux, by other policies.
func TestMount_TablesThatFailLeaveNothingAndCanBeMended(t *testing.T) {
	t.Parallel()
	needsPath := typed[refundOf]()
	tests := []struct {
		name    string
		foreign bool
		before  func(t *testing.T, mw *idemhttp.Middleware, mux idemhttp.Mux)
		second  http.Handler
		want    string
	}{
		{
			name: "a wrong handler", second: needsPath,
			want: `idemhttp: pairRoutes.Second: refundOf.Payment: path:"id": the route has no {id}`,
		},
		{
			name: "an operation with another policy",
			before: func(t *testing.T, mw *idemhttp.Middleware, _ idemhttp.Mux) {
				t.Helper()
				_, err := mw.Protect("second", idempotency.Policy{Retention: time.Hour})
				require.NoError(t, err)
			},
			want: `idemhttp: pairRoutes.Second: idempotency: operation "second" is registered already, with another policy or a Reconcile`,
		},
		{
			name: "an operation of another table",
			before: func(t *testing.T, mw *idemhttp.Middleware, mux idemhttp.Mux) {
				t.Helper()
				require.NoError(t, mw.Mount(mux, struct {
					Other http.Handler `route:"POST /before" operation:"second" idempotency:"required"`
				}{&counting{}}))
			},
			want: `idemhttp: pairRoutes.Second: its operation "second" is that of the route "POST /before" already`,
		},
		{
			name: "a pattern that is on the mux",
			before: func(_ *testing.T, _ *idemhttp.Middleware, mux idemhttp.Mux) {
				mux.Handle("POST /second", http.NotFoundHandler())
			},
			want: `idemhttp: pairRoutes.Second: the mux refuses it: pattern "POST /second" conflicts with "POST /second", which is there already`,
		},
		{
			name: "a pattern of another table, on a mux that forgets", foreign: true,
			before: func(t *testing.T, mw *idemhttp.Middleware, mux idemhttp.Mux) {
				t.Helper()
				require.NoError(t, mw.Handle(mux, "POST /second", http.NotFoundHandler()))
			},
			want: `idemhttp: pairRoutes.Second: the mux has "POST /second" already, and would forget the handler that it has for it`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			guard := newGuardFor(t)
			mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
			require.NoError(t, err)
			standard := http.NewServeMux()
			mux := idemhttp.Mux(standard)
			if tt.foreign {
				mux = newForeignRouter()
			}
			if tt.before != nil {
				tt.before(t, mw, mux)
			}
			operations, routes := guard.Operations(), mw.Routes()
			second := tt.second
			if second == nil {
				second = &counting{}
			}
			require.EqualError(t, mw.Mount(mux, &pairRoutes{&counting{}, second}), tt.want)
			assert.Equal(t, operations, guard.Operations())
			assert.Equal(t, routes, mw.Routes())
			_, pattern := standard.Handler(newRequest(t, http.MethodPost, "/first"))
			assert.Empty(t, pattern)

			require.NoError(t, mw.Mount(mux, &mendedRoutes{&counting{}, &counting{}}))
			assert.Len(t, mw.Routes(), len(routes)+2)
		})
	}
}

// What only the mux knows is found when it is asked. Nothing is registered then, what
// it has taken is answered as if it were not there, and the next try fills it.
func TestMount_WhatOnlyTheMuxKnowsLeavesNothingEither(t *testing.T) {
	t.Parallel()
	overlapping := http.NewServeMux()
	overlapping.Handle("POST /{any}/x", http.NotFoundHandler())
	refusing := newForeignRouter()
	refusing.refuses = "POST /second/{any}"
	tests := []struct {
		name string
		mux  interface {
			idemhttp.Mux
			http.Handler
		}
		want string
	}{
		{"a pattern that overlaps in part", overlapping, `idemhttp: table.Second: the mux refuses it: pattern "POST /second/{any}"`},
		{"a mux with rules of its own", refusing, `idemhttp: table.Second: the mux refuses it: refused`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			guard := newGuardFor(t)
			mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
			require.NoError(t, err)
			for range 2 {
				err = mw.Mount(tt.mux, &struct {
					First  http.Handler `route:"POST /first" idempotency:"required"`
					Second http.Handler `route:"POST /second/{any}" idempotency:"required"`
				}{&counting{}, &counting{}})
				require.ErrorContains(t, err, tt.want)
				assert.Empty(t, guard.Operations())
				assert.Empty(t, mw.Routes())
				assert.Equal(t, http.StatusNotFound, statusAt(t, tt.mux, "/first"))
			}
			require.NoError(t, mw.Mount(tt.mux, &mendedRoutes{&counting{}, &counting{}}))
			assert.Len(t, mw.Routes(), 2)
			assert.Equal(t, []string{"POST /first", "other"}, guard.Operations())
		})
	}
}

// One handler would take the other's place, and nobody would know.
func TestHandle_TheSamePatternTwiceIsAnErrorOnAnyMux(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		mux   idemhttp.Mux
		other idemhttp.Mux // of the same type
	}{
		{"http.ServeMux", http.NewServeMux(), http.NewServeMux()},
		{"a pointer", newForeignRouter(), newForeignRouter()},
		{"a map", chiLike{}, chiLike{}},
		{"a function", muxFunc(func(string, http.Handler) {}), muxFunc(func(string, http.Handler) {})},
		{"a value", valueMux{newForeignRouter()}, valueMux{newForeignRouter()}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			mw := newMiddleware(t)
			require.NoError(t, mw.Handle(tt.mux, "POST /a", &counting{}))
			err := mw.Handle(tt.mux, "POST /a", &counting{})
			require.ErrorContains(t, err, "idemhttp: POST /a: the mux ")
			require.ErrorContains(t, err, " already")
			require.NoError(t, mw.Handle(tt.other, "POST /a", &counting{}), "another mux may have it, too")
			require.NoError(t, mw.Handle(tt.mux, "POST /b", &counting{}))
			assert.Len(t, mw.Routes(), 3)
		})
	}
}

func TestMount_TheSamePatternTwiceInOneTableIsAnErrorOnAnyMux(t *testing.T) {
	t.Parallel()
	for name, mux := range map[string]idemhttp.Mux{"http.ServeMux": http.NewServeMux(), "another": newForeignRouter()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := newMiddleware(t).Mount(mux, struct {
				One http.Handler `route:"POST /a" operation:"one" idempotency:"required"`
				Two http.Handler `route:"POST /a" operation:"two" idempotency:"required"`
			}{&counting{}, &counting{}})
			require.ErrorContains(t, err, "idemhttp: table.Two: the mux ")
		})
	}
}

// muxFunc and valueMux are muxes that == cannot compare, or not by what they are.
type (
	muxFunc  func(string, http.Handler)
	valueMux struct{ router *foreignRouter }
)

func (f muxFunc) Handle(pattern string, handler http.Handler)  { f(pattern, handler) }
func (v valueMux) Handle(pattern string, handler http.Handler) { v.router.Handle(pattern, handler) }

// Muxes whose values cannot be compared are mounted on all the same.
func TestHandle_MuxesThatCannotBeComparedAreTakenForTwo(t *testing.T) {
	t.Parallel()
	mw, mux := newMiddleware(t), sliceMux{newForeignRouter()}
	require.NoError(t, mw.Handle(mux, "POST /a", &counting{}))
	require.NoError(t, mw.Handle(mux, "POST /a", &counting{}))
}

type sliceMux []*foreignRouter

func (s sliceMux) Handle(pattern string, handler http.Handler) { s[0].Handle(pattern, handler) }

func TestHandle_NilMuxesAreErrors(t *testing.T) {
	t.Parallel()
	mw := newMiddleware(t)
	for _, mux := range []idemhttp.Mux{nil, (*http.ServeMux)(nil)} {
		require.EqualError(t, mw.Handle(mux, "POST /a", &counting{}), "idemhttp: POST /a: the mux is nil")
		require.EqualError(t, mw.Mount(mux, &groupRoutes{noop}), "idemhttp: Mount: the mux is nil")
	}
}

// What Handle refuses leaves no operation behind, under which it could not be put right.
func TestHandle_WhatIsRefusedCanBeMended(t *testing.T) {
	t.Parallel()
	guard := newGuardFor(t)
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("POST /a", http.NotFoundHandler())
	wrong := idempotency.Policy{Retention: time.Hour}
	require.EqualError(t, mw.Handle(mux, "POST /a", &counting{}, wrong),
		`idemhttp: POST /a: the mux refuses it: pattern "POST /a" conflicts with "POST /a", which is there already`)
	require.EqualError(t, mw.Handle(mux, "POST /{a}/{$}/b", &counting{}, wrong),
		`idemhttp: POST /{a}/{$}/b: the mux refuses it: parsing "POST /{a}/{$}/b": at offset 10: {$} not at end`)
	assert.Empty(t, guard.Operations())
	require.NoError(t, mw.Handle(http.NewServeMux(), "POST /a", &counting{}, idempotency.Policy{Retention: 2 * time.Hour}))
	assert.Equal(t, []string{"POST /a"}, guard.Operations())
}

// A pattern is asked for as a client would: what a mux has in common with it, but does
// not conflict, is none of it.
func TestHandle_PatternsBesideOthersAreTaken(t *testing.T) {
	t.Parallel()
	mw, mux := newMiddleware(t), http.NewServeMux()
	for _, there := range []string{"/", "GET /a", "POST example.com/a", "/a/{x}", "POST /b/{x...}", "POST /c/{$}"} {
		mux.Handle(there, http.NotFoundHandler())
	}
	for _, pattern := range []string{"POST /a", "POST /a/{x}", "POST /b/{x}", "POST /c/{x}", "/d", "POST /a/b%20c", "POST /e/{$}"} {
		require.NoError(t, mw.Handle(mux, pattern, &counting{}), pattern)
	}
	for _, pattern := range []string{"/a/{y}", "POST /b/", "POST /c/{$}", "POST example.com/a", "GET /a"} {
		err := mw.Handle(mux, pattern, &counting{}, idempotency.Policy{Key: idempotency.KeyOff})
		require.ErrorContains(t, err, "which is there already", pattern)
	}
}

// Its own patterns a middleware knows, also where they overlap in part only.
func TestMount_PatternsThatOverlapWithThoseOfAnotherTableAreErrors(t *testing.T) {
	t.Parallel()
	mw, mux := newMiddleware(t), http.NewServeMux()
	require.NoError(t, mw.Handle(mux, "POST /{any}/x", &counting{}))
	require.EqualError(t, mw.Mount(mux, &struct {
		First  http.Handler `route:"POST /first" idempotency:"required"`
		Second http.Handler `route:"POST /x/{any}" idempotency:"required"`
	}{&counting{}, &counting{}}),
		`idemhttp: table.Second: the mux refuses it: pattern "POST /x/{any}" conflicts with "POST /{any}/x", which is there already`)
	_, pattern := mux.Handler(newRequest(t, http.MethodPost, "/first"))
	assert.Empty(t, pattern)
}

// A slot costs what is served nothing that could be seen: the request is the mux's.
func TestHandle_HandlersSeeTheMuxesRequest(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	seen := ""
	require.NoError(t, newMiddleware(t).Handle(mux, "POST /a/{id}", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen = r.Pattern + " " + r.PathValue("id")
	})))
	mux.ServeHTTP(httptest.NewRecorder(), keyedRequest(context.Background(), http.MethodPost, "/a/7", "k"))
	assert.Equal(t, "POST /a/{id} 7", seen)
}

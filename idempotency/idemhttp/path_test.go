package idemhttp_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// foreignRouter has patterns such as /orders/{id:[0-9]+}, forgets the first of two
// handlers for one, and keeps what it finds in a path for itself, as many do.
type foreignRouter struct {
	routes  map[string]http.Handler
	refuses string // a pattern
}

type foreignParams struct{}

func newForeignRouter() *foreignRouter { return &foreignRouter{routes: make(map[string]http.Handler)} }

func (f *foreignRouter) Handle(pattern string, handler http.Handler) {
	if pattern == f.refuses {
		panic("refused")
	}
	f.routes[pattern] = handler
}

func (f *foreignRouter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	part := regexp.MustCompile(`\{(\w+):([^/]*)\}`)
	for pattern, handler := range f.routes {
		path := regexp.MustCompile("^" + part.ReplaceAllString(pattern, `(?P<$1>$2)`) + "$")
		found := path.FindStringSubmatch(r.URL.Path)
		if found == nil {
			continue
		}
		params := make(map[string]string)
		for i, name := range path.SubexpNames() {
			params[name] = found[i]
		}
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), foreignParams{}, params)))
		return
	}
	http.NotFound(w, r)
}

func foreignParam(r *http.Request, name string) string {
	params, _ := r.Context().Value(foreignParams{}).(map[string]string)
	return params[name]
}

// refunds answers with what it was asked for.
type refunds struct{ runs int }

type refundOf struct {
	Payment string `path:"id" json:"-"`
	Amount  int64  `json:"amount,omitempty"`
}

func (s *refunds) refund(_ context.Context, req refundOf) (string, error) {
	s.runs++
	return fmt.Sprint(s.runs, " ", req.Payment), nil
}

const foreignPattern = `/payments/{id:[a-z]{1,3}}/refunds`

func refunded(t *testing.T, handler http.Handler, key, path string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(`{"amount":5}`))
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// mountings are the ways in which a typed handler comes onto a router that keeps its
// parameters for itself.
func mountings() map[string]func(t *testing.T, mw *idemhttp.Middleware, handler http.Handler) http.Handler {
	type way = func(t *testing.T, mw *idemhttp.Middleware, handler http.Handler) http.Handler
	protected := func(behind func(http.Handler) http.Handler) way {
		return func(t *testing.T, mw *idemhttp.Middleware, handler http.Handler) http.Handler {
			t.Helper()
			router := newForeignRouter()
			protect, err := mw.Protect("refunds")
			require.NoError(t, err)
			router.Handle(foreignPattern, protect(behind(handler)))
			return router
		}
	}
	handled := func(key idempotency.KeyRule) way {
		return func(t *testing.T, mw *idemhttp.Middleware, handler http.Handler) http.Handler {
			t.Helper()
			router := newForeignRouter()
			require.NoError(t, mw.Handle(router, foreignPattern, handler, idempotency.Policy{Key: key}))
			return router
		}
	}
	return map[string]way{
		"Handle":               handled(idempotency.KeyRequired),
		"Handle, optional":     handled(idempotency.KeyOptional),
		"Handle, off":          handled(idempotency.KeyOff),
		"Handle, shadow":       handled(idempotency.KeyShadow),
		"Protect":              protected(func(h http.Handler) http.Handler { return h }),
		"Protect, through one": protected(func(h http.Handler) http.Handler { return http.HandlerFunc(h.ServeHTTP) }),
		"Wrap": func(t *testing.T, mw *idemhttp.Middleware, handler http.Handler) http.Handler {
			t.Helper()
			router := newForeignRouter()
			wrapped, err := mw.Wrap("refunds", handler)
			require.NoError(t, err)
			router.Handle(foreignPattern, wrapped)
			return router
		},
		"Mount, undeclared": func(t *testing.T, mw *idemhttp.Middleware, handler http.Handler) http.Handler {
			t.Helper()
			router := newForeignRouter()
			require.NoError(t, mw.Mount(router, struct {
				Refund http.Handler `route:"/payments/{id:[a-z]{1,3}}/refunds"`
			}{handler}, idemhttp.AllowUndeclared()))
			return router
		},
	}
}

// What the path is about is never empty: whoever had mistaken one payment for
// another's would refund it.
func TestPathValue_WithoutOneNothingIsClaimedAndNothingRuns(t *testing.T) {
	t.Parallel()
	const mistake = `JSON: refundOf.Payment: path:"id": the router gives no value for it: ` +
		`the route must have such a part, and idemhttp.PathValue say how the router is asked for it`
	for name, mounted := range mountings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var service refunds
			var logged bytes.Buffer
			executions := 0
			guard := newGuardFor(t, loggingTo(&logged), idempotency.WithTrace(idempotency.Trace{Finished: func(_ context.Context, f idempotency.Finished) {
				if f.Code == "" {
					executions++
				}
			}}))
			mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
			require.NoError(t, err)
			handler := mounted(t, mw, idemhttp.JSON(service.refund))
			for _, key := range []string{"k", "k", ""} {
				w := refunded(t, handler, key, "/payments/ab/refunds")
				if w.Code == http.StatusBadRequest {
					continue // through a middleware, the tags are hidden: the key is looked for first
				}
				assert.Equal(t, http.StatusInternalServerError, w.Code)
				assert.Contains(t, w.Body.String(), mistake)
			}
			assert.Zero(t, service.runs)
			if name == "Mount, undeclared" {
				return // nobody but the handler sees it
			}
			if name == "Protect, through one" {
				return // it is claimed before the handler sees it, and released
			}
			assert.Zero(t, executions)
			assert.Equal(t, 1, strings.Count(logged.String(), "gives no value for it"), "once")
		})
	}
}

func TestPathValue_RoutersWithTheirOwnParametersAreAsked(t *testing.T) {
	t.Parallel()
	for name, mounted := range mountings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var service refunds
			mw, err := idemhttp.New(newGuardFor(t), idemhttp.GlobalScope(), idemhttp.PathValue(foreignParam))
			require.NoError(t, err)
			handler := mounted(t, mw, idemhttp.JSON(service.refund))
			assert.Equal(t, `"1 ab"`, strings.TrimSpace(refunded(t, handler, "k", "/payments/ab/refunds").Body.String()))
			assert.Equal(t, `"2 cd"`, strings.TrimSpace(refunded(t, handler, "l", "/payments/cd/refunds").Body.String()))
			assert.Equal(t, http.StatusNotFound, refunded(t, handler, "k", "/payments/1/refunds").Code)
			assert.Equal(t, 2, service.runs)
		})
	}
}

// http.ServeMux says it itself, and a hook for another router does not come between.
func TestPathValue_TheRequestsOwnComesFirst(t *testing.T) {
	t.Parallel()
	var service refunds
	mw, err := idemhttp.New(newGuardFor(t), idemhttp.GlobalScope(),
		idemhttp.PathValue(func(*http.Request, string) string { return "another" }))
	require.NoError(t, err)
	mux := http.NewServeMux()
	require.NoError(t, mw.Handle(mux, "POST /payments/{id}/refunds", idemhttp.JSON(service.refund)))
	assert.Equal(t, `200 executed "1 ab"`, said(refunded(t, mux, "k", "/payments/ab/refunds")))
}

// A {name...} stands for the rest of a path, of which there may be none.
func TestPathValue_TheRestOfAPathMayBeEmpty(t *testing.T) {
	t.Parallel()
	var service refunds
	mux := http.NewServeMux()
	require.NoError(t, newMiddleware(t).Handle(mux, "POST /files/{id...}", idemhttp.JSON(service.refund)))
	assert.Equal(t, `200 executed "1 "`, said(refunded(t, mux, "k", "/files/")))
	assert.Equal(t, `200 executed "2 a/b"`, said(refunded(t, mux, "l", "/files/a/b")))
}

// An inner mux replaces what an outer one has found.
func TestPathValue_ThatOfAnOuterMuxIsNotThere(t *testing.T) {
	t.Parallel()
	var service refunds
	protect, err := newMiddleware(t).Protect("refunds")
	require.NoError(t, err)
	inner, outer := http.NewServeMux(), http.NewServeMux()
	inner.Handle("POST /{merchant}/refunds", protect(idemhttp.JSON(service.refund)))
	outer.Handle("/{id}/", inner)
	w := refunded(t, outer, "k", "/ab/refunds")
	assert.Equal(t, http.StatusInternalServerError, w.Code)
	assert.Equal(t, "rejected", w.Header().Get("Idempotency-Status"))
	assert.Zero(t, service.runs)
}

// What a pattern has not is found when the route is mounted, on whatever router.
func TestHandle_PathsThatAPatternDoesNotHaveAreErrors(t *testing.T) {
	t.Parallel()
	const none = `refundOf.Payment: path:"id": the route has no {id}`
	tests := []struct {
		name, pattern string
		mux           idemhttp.Mux
		want          string // "" for none
	}{
		{"http.ServeMux", "POST /payments/{id}/refunds", http.NewServeMux(), ""},
		{"the rest", "POST /payments/{id...}", http.NewServeMux(), ""},
		{"none", "POST /payments", http.NewServeMux(), none},
		{"another", "POST /payments/{ids}", http.NewServeMux(), none + "; the nearest is {ids}"},
		{"a literal of http.ServeMux", "POST /payments/:id", http.NewServeMux(), `http.ServeMux takes ":id" as it stands: write {id}`},
		{"the end", "POST /payments/{$}", http.NewServeMux(), none},
		{"an expression", "/payments/{id:[0-9]+}/refunds", newForeignRouter(), ""},
		{"an expression with braces", "/payments/{id:[0-9]{1,3}}/refunds", newForeignRouter(), ""},
		{"after an expression with a slash", "/payments/{a:.*/x}/{id}", newForeignRouter(), ""},
		{"within a segment", "/payments/{id}.json", newForeignRouter(), ""},
		{"a colon", "/payments/:id/refunds", newForeignRouter(), ""},
		{"a star with a name", "/payments/*id", newForeignRouter(), ""},
		{"another expression", "/payments/{payment:[0-9]+}", newForeignRouter(), none + "; the nearest is {payment}"},
		{"a star", "/payments/*", newForeignRouter(), none + "; the nearest is {*}"},
		{"a colon that is not at the beginning", "/payments/x:id", newForeignRouter(), none},
		{"in an expression only", "/payments/{x:{id}}", newForeignRouter(), none + "; the nearest is {x}"},
		{"not closed", "/payments/{id", newForeignRouter(), none},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			guard := newGuardFor(t)
			mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
			require.NoError(t, err)
			err = mw.Handle(tt.mux, tt.pattern, typed[refundOf]())
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, "idemhttp: "+tt.pattern+": "+tt.want)
			assert.Empty(t, mw.Routes())
			assert.Empty(t, guard.Operations())
		})
	}
}

// The rest of a path has the name "*" on some routers.
func TestHandle_AStarIsAName(t *testing.T) {
	t.Parallel()
	type file struct {
		Name string `path:"*" json:"-"`
	}
	require.NoError(t, newMiddleware(t).Handle(newForeignRouter(), "/files/*", typed[file]()))
}

func TestNew_WrongHooksAreErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		opts []idemhttp.Option
		want string
	}{
		{"no function", []idemhttp.Option{idemhttp.PathValue(nil)}, "idemhttp: PathValue: the function is nil"},
		{"twice", []idemhttp.Option{idemhttp.PathValue(foreignParam), idemhttp.PathValue(foreignParam)}, "idemhttp: PathValue is given twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := idemhttp.New(newGuardFor(t), append(tt.opts, idemhttp.GlobalScope())...)
			require.EqualError(t, err, tt.want)
		})
	}
}

package idemhttp_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// Two tags that vet finds as well, but only where it is run.
func TestMount_TagsThatAreNotInTheConventionalForm(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		table any
		want  string
	}{
		{
			"a space after the colon", malformed(`route: "POST /a" idempotency:"required"`),
			"idemhttp: table.Create: the tag `route: \"POST /a\" idempotency:\"required\"` is not in the form name:\"value\", so that Go does not read it",
		},
		{
			"no quotes", malformed(`route:"POST /a" idempotency:required`),
			"idemhttp: table.Create: the tag `route:\"POST /a\" idempotency:required` is not in the form name:\"value\", so that Go does not read it",
		},
		{
			"twice", malformed(`route:"POST /a" idempotency:"off" idempotency:"required"`),
			`idemhttp: table.Create: the tag "idempotency" is there twice`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.EqualError(t, newMiddleware(t).Mount(http.NewServeMux(), tt.table), tt.want)
		})
	}
}

func TestMount_AllMistakesAreToldAtOnceAndNothingIsMounted(t *testing.T) {
	t.Parallel()
	mw, mux := newMiddleware(t), http.NewServeMux()
	err := mw.Mount(mux, struct {
		Good   http.HandlerFunc `route:"POST /good" idempotency:"required"`
		Safe   http.HandlerFunc `route:"GET /a" idempotency:"required"`
		Silent http.HandlerFunc `route:"POST /b"`
		Same   http.HandlerFunc `route:"POST /good" idempotency:"required"`
	}{noop, noop, noop, noop})
	for _, want := range []string{"table.Safe: GET is never protected", "table.Silent: no policy", "table.Same: the mux refuses it"} {
		require.ErrorContains(t, err, want)
	}
	_, pattern := mux.Handler(newRequest(t, http.MethodPost, "/good"))
	assert.Empty(t, pattern)
	assert.Empty(t, mw.Routes())
}

func TestMount_OperationsAndPatternsThatAreTakenAreErrors(t *testing.T) {
	t.Parallel()
	mw, mux := newMiddleware(t), http.NewServeMux()
	require.EqualError(t, mw.Mount(nil, &groupRoutes{noop}), "idemhttp: Mount: the mux is nil")
	_, err := mw.Protect("refunds", idempotency.Policy{Wait: time.Second})
	require.NoError(t, err)
	err = mw.Mount(mux, struct {
		Refund http.HandlerFunc `route:"POST /refunds" operation:"refunds" idempotency:"required"`
	}{noop})
	require.EqualError(t, err,
		`idemhttp: table.Refund: idempotency: operation "refunds" is registered already, with another policy or a Reconcile`)
	mux.HandleFunc("POST /refunds", noop)
	err = mw.Mount(mux, &groupRoutes{noop}, idemhttp.TablePolicy(idempotency.Policy{Key: idempotency.KeyRequired}))
	require.ErrorContains(t, err, "idemhttp: groupRoutes.Refund: the mux refuses it: pattern \"POST /refunds\"")
}

package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store/memstore"
)

// Who adds a route, or changes how one is protected, has to change this, too.
func TestTheTableSaysWhatIsProtectedAndHow(t *testing.T) {
	t.Parallel()
	type shown struct{ pattern, operation, policy string }
	const (
		inherited = "lease=10s,orphan=rerun-unmarked,fingerprint=json" // their handlers are by idemhttp.JSON
		create    = "POST /v1/payments"
		refunds   = "POST /v1/payments/{id}/refunds"
		update    = "PATCH /v1/payments/{id}"
	)
	reads := []shown{
		{pattern: "GET /v1/payments/{id}"}, {pattern: "GET /v1/payments"}, {pattern: "GET /v1/ledger"},
	}
	tests := []struct {
		name string
		args []string
		want []shown
	}{
		{"by default", nil, []shown{
			{create, create, "required,stream=buffer"},
			{refunds, refunds, "required,stream=buffer"},
			{update, update, "optional,stream=buffer"},
		}},
		{"only Create streams", []string{"-stream", "pass"}, []shown{
			{create, create, "required,stream=pass"},
			{refunds, refunds, "required,stream=buffer"},
			{update, update, "optional,stream=buffer"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := parseFlags(tt.args, io.Discard)
			require.NoError(t, err)
			base, err := idempotency.ParsePolicy(inherited)
			require.NoError(t, err)
			var got []shown
			for _, r := range mountedBy(t, c) {
				s := shown{pattern: r.Pattern, operation: r.Operation}
				if r.Operation != "" {
					s.policy = string(r.Policy.Key) + ",stream=" + string(r.Policy.Stream)
					want, err := idempotency.ParsePolicy(s.policy)
					require.NoError(t, err)
					assert.Equal(t, idempotency.DefaultPolicy().Override(base).Override(want), r.Policy, "and nothing else")
					assert.True(t, r.Protected)
				}
				got = append(got, s)
			}
			assert.Equal(t, append(tt.want, reads...), got)
		})
	}
}

func mountedBy(t *testing.T, c config) []idemhttp.Route {
	t.Helper()
	records, err := memstore.New()
	require.NoError(t, err)
	guard, err := idempotency.New(records, idempotency.WithPolicy(c.policy()))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, guard.Shutdown(context.Background())) })
	mw, err := idemhttp.New(guard, idemhttp.Scope(scope))
	require.NoError(t, err)
	require.NoError(t, mount(mw, http.NewServeMux(), c, newService(nil, slog.New(slog.DiscardHandler))))
	return mw.Routes()
}

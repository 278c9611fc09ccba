package idemhttp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

type page struct {
	Number int `query:"page" json:"-"`
}

type refundOrder struct {
	page
	Payment int64 `path:"id" json:"-"`
	DryRun  bool  `query:"dry_run" json:"-"`
	Amount  int64 `json:"amount,omitempty"`
}

func TestJSON_FieldsComeFromPathAndQuery(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, target, body, want string
	}{
		{"all", "/payments/7/refunds?dry_run=true&page=3", `{"amount":5}`, `200 executed "{{3} 7 true 5}"`},
		{"what is not there is zero", "/payments/7/refunds", `{}`, `200 executed "{{0} 7 false 0}"`},
		{"wrong path", "/payments/x/refunds", `{}`, `The value of "id" in the path is not allowed.`},
		{"wrong query", "/payments/7/refunds?dry_run=maybe", `{}`, `The value of "dry_run" in the query is not allowed.`},
		{"query twice", "/payments/7/refunds?page=1&page=2", `{}`, `The query has "page" more than once.`},
		{"not from the body", "/payments/7/refunds", `{"Payment":8}`, `There is no member "Payment" in this request.`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			mux := http.NewServeMux()
			require.NoError(t, newMiddleware(t).Mount(mux, struct {
				Refund http.Handler `route:"POST /payments/{id}/refunds" idempotency:"required"`
			}{idemhttp.JSON(func(_ context.Context, req *refundOrder) (string, error) { return fmt.Sprint(*req), nil })}))
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, tt.target, strings.NewReader(tt.body))
			r.Header.Set("Idempotency-Key", "k")
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			var problem struct {
				Detail string `json:"detail"`
			}
			if json.Unmarshal(w.Body.Bytes(), &problem) == nil && problem.Detail != "" {
				assert.Equal(t, tt.want, problem.Detail)
				return
			}
			assert.Equal(t, tt.want, said(w))
		})
	}
}

// Without members for a body none is asked for.
func TestJSON_RequestWithoutBodyMembersNeedsNone(t *testing.T) {
	t.Parallel()
	type cancel struct {
		Reason string `query:"reason" json:"-"`
	}
	handler := mountTyped(t, newMiddleware(t), typed[cancel](), idempotency.Policy{})
	assert.Equal(t, `200 executed {"Amount":0}`, said(asked(t, handler, "k", "")))
	assert.Equal(t, `200 replayed {"Amount":0}`, said(asked(t, handler, "k", "{}")))
	assert.Equal(t, http.StatusBadRequest, asked(t, handler, "k2", `{"reason":"x"}`).Code)
}

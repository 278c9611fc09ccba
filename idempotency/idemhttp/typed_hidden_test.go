package idemhttp_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/reprise-go/reprise/idempotency"
)

// A scope that nobody sees keeps no callers apart, whatever the key comes from.
func TestJSON_AHiddenScopeAloneIsToldAtTheFirstRequest(t *testing.T) {
	t.Parallel()
	type placing struct {
		Merchant string `json:"merchant" idempotency:"scope"`
	}
	inner := typed[placing]()
	handler := mountTyped(t, newMiddleware(t), http.HandlerFunc(inner.ServeHTTP), idempotency.Policy{})
	w := asked(t, handler, "k", `{"merchant":"acme"}`)
	assert.Equal(t, http.StatusInternalServerError, w.Code)
	assert.Contains(t, w.Body.String(), "a middleware between it and the protected route hides its tags")
}

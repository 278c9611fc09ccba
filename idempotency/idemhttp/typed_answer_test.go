package idemhttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

type coded struct {
	status int
	text   string
	header http.Header
}

func (c coded) Error() string           { return c.text }
func (c coded) HTTPStatus() int         { return c.status }
func (c coded) HTTPHeader() http.Header { return c.header }

func TestJSON_ErrorsAreAnsweredByTheirStatus(t *testing.T) {
	t.Parallel()
	refused := &idempotency.Error{Code: idempotency.ErrInProgress}
	tests := []struct {
		name  string
		err   error
		want  string
		again string // what a retry gets
	}{
		{"deterministic", fmt.Errorf("pay: %w", coded{status: 402, text: "declined"}),
			`402 executed {"type":"about:blank","title":"Payment Required","status":402,"detail":"pay: declined"}`, "402 replayed"},
		{"not now", coded{status: 503, text: "password wrong"},
			`503 unrecorded {"type":"about:blank","title":"Service Unavailable","status":503}`, "503 unrecorded"},
		{"plain", errors.New("password wrong"),
			`500 unrecorded {"type":"about:blank","title":"Internal Server Error","status":500}`, "500 unrecorded"},
		{"no error status", coded{status: 200, text: "odd"},
			`500 unrecorded {"type":"about:blank","title":"Internal Server Error","status":500}`, "500 unrecorded"},
		{"of this library", fmt.Errorf("downstream: %w", refused), "409 unrecorded in_progress", "409 unrecorded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			handler := mountTyped(t, newMiddleware(t),
				idemhttp.JSON(func(context.Context, plain) (plain, error) { return plain{}, tt.err }), idempotency.Policy{})
			assert.Equal(t, tt.want, said(asked(t, handler, "k", `{}`)))
			assert.True(t, strings.HasPrefix(said(asked(t, handler, "k", `{}`)), tt.again))
		})
	}
	t.Run("header fields", func(t *testing.T) {
		t.Parallel()
		handler := idemhttp.JSON(func(context.Context, plain) (plain, error) {
			return plain{}, coded{status: 429, text: "slow down", header: http.Header{"Retry-After": {"7"}}}
		})
		assert.Equal(t, "7", asked(t, handler, "", `{}`).Header().Get("Retry-After"))
	})
	t.Run("an own writer", func(t *testing.T) {
		t.Parallel()
		handler := typed[plain](idemhttp.JSONErrors(func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusTeapot)
		}))
		assert.Equal(t, "418  The body is empty; it should be a JSON object.", said(asked(t, handler, "", "")))
	})
}

// The work is done, and what came of it cannot be told: no 5xx that releases.
func TestJSON_ResultThatCannotBeWrittenIsAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	runs := 0
	handler := mountTyped(t, newMiddleware(t), idemhttp.JSON(func(context.Context, plain) (any, error) {
		runs++
		return func() {}, nil
	}), idempotency.Policy{})
	assert.Contains(t, said(asked(t, handler, "k", `{}`)), "500 unrecorded")
	assert.Equal(t, "409 unknown outcome_unknown", said(asked(t, handler, "k", `{}`)))
	assert.Equal(t, 1, runs)
}

type createdOrder struct {
	ID string `json:"id"`
}

func (createdOrder) HTTPStatus() int           { return http.StatusCreated }
func (c createdOrder) HTTPHeader() http.Header { return http.Header{"location": {"/orders/" + c.ID}} }

func TestJSON_ResultsSayTheirStatusAndHeaderFields(t *testing.T) {
	t.Parallel()
	handler := mountTyped(t, newMiddleware(t),
		idemhttp.JSON(func(context.Context, plain) (*createdOrder, error) { return &createdOrder{"7"}, nil }), idempotency.Policy{})
	for _, mark := range []string{"executed", "replayed"} {
		w := asked(t, handler, "k", `{}`)
		assert.Equal(t, `201 `+mark+` {"id":"7"}`, said(w))
		assert.Equal(t, "/orders/7", w.Header().Get("Location"))
		assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
	}
	empty := mountTyped(t, newMiddleware(t), typed[plain](idemhttp.JSONStatus(http.StatusNoContent)), idempotency.Policy{})
	assert.Equal(t, "204 executed ", said(asked(t, empty, "k", `{}`)))
	assert.Equal(t, "204 replayed ", said(asked(t, empty, "k", `{}`)))
}

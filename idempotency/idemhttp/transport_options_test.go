package idemhttp_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

func TestTransportRefusesWrongOptions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		opt  idemhttp.TransportOption
		says string
	}{
		{"nil option", nil, "nil option"},
		{"header name", idemhttp.SendKeyIn("a b"), "SendKeyIn"},
		{"header with another meaning", idemhttp.SendKeyIn("content-type"), "SendKeyIn"},
		{"no function", idemhttp.SendKeyFrom(nil), "SendKeyFrom"},
		{"no attempts", idemhttp.MaxAttempts(0), "MaxAttempts"},
		{"too many attempts", idemhttp.MaxAttempts(101), "MaxAttempts"},
		{"no pause", idemhttp.Backoff(0, time.Second), "Backoff"},
		{"pauses that shrink", idemhttp.Backoff(time.Second, time.Millisecond), "Backoff"},
		{"endless pauses", idemhttp.Backoff(time.Second, 2*time.Hour), "Backoff"},
		{"negative wait", idemhttp.MaxRetryAfter(-1), "MaxRetryAfter"},
		{"endless wait", idemhttp.MaxRetryAfter(25 * time.Hour), "MaxRetryAfter"},
		{"negative body", idemhttp.MaxResendBody(-1), "MaxResendBody"},
		{"endless body", idemhttp.MaxResendBody(1 << 40), "MaxResendBody"},
		{"a success", idemhttp.RetryStatus(500, 200), "RetryStatus"},
		{"no hook", idemhttp.OnRetry(nil), "OnRetry"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := idemhttp.NewTransport(nil, tt.opt)
			require.ErrorContains(t, err, tt.says)
		})
	}
	_, err := idemhttp.NewTransport(newTransport(t, nil))
	require.ErrorContains(t, err, "multiply")
}

func TestTransportClosesTheIdleConnectionsOfItsBase(t *testing.T) {
	t.Parallel()
	base := &idleCloser{}
	(&http.Client{Transport: newTransport(t, base)}).CloseIdleConnections()
	assert.Equal(t, 1, base.closed)
	(&http.Client{Transport: newTransport(t, &upstream{})}).CloseIdleConnections() // has none
}

type idleCloser struct {
	upstream

	closed int
}

func (c *idleCloser) CloseIdleConnections() { c.closed++ }

func TestTransportTellsOfRetriesWithoutTheKey(t *testing.T) {
	t.Parallel()
	type mine struct{}
	var told []idemhttp.Retry
	base := &upstream{answers: []func(*http.Request) (*http.Response, error){
		cut, answered(503, "Idempotency-Status: rejected", "Retry-After: 0"), created,
	}}
	transport := newTransport(t, base, idemhttp.Backoff(time.Millisecond, 2*time.Millisecond),
		idemhttp.OnRetry(func(ctx context.Context, r idemhttp.Retry) {
			assert.Equal(t, "yes", ctx.Value(mine{}))
			told = append(told, r)
		}))
	req := clientRequest(t, "PUT", "http://service:80/secret", "")
	req = req.WithContext(context.WithValue(req.Context(), mine{}, "yes"))
	_, err := transport.RoundTrip(req)
	require.NoError(t, err)
	require.Len(t, told, 2)
	for n := range told {
		assert.Positive(t, told[n].Wait)
		told[n].Wait = 0
	}
	assert.Equal(t, []idemhttp.Retry{
		{Method: "PUT", Host: "service:80", Attempt: 1, Err: errCut},
		{Method: "PUT", Host: "service:80", Attempt: 2, Status: 503, Mark: "rejected"},
	}, told)
	assert.Len(t, slices.Compact(base.keys("Idempotency-Key")), 1, "one key for all tries")
}

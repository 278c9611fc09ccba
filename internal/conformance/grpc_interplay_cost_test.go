package conformance_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/internal/testpb"
)

// costlyBody is the answer of both transports; "large" is one that does not pass
// through a script.
func costlyBody(do string) string {
	if do == "large" {
		return strings.Repeat("x", 50_000)
	}
	return "small"
}

// newMeasuredGRPC is newMeasuredNode for gRPC. What the handler does is the
// order's currency.
func newMeasuredGRPC(t *testing.T) (*grpcService, *faultproxy.Proxy) {
	t.Helper()
	srv := shared.Server(t)
	loadScripts(t, srv)
	line := faultproxy.Start(t, srv.Addr())
	s := newGRPC(t, grpcSetup{
		redis: srv.Client(t, func(o *redis.Options) { o.Addr = line.Addr() }),
		create: func(ctx context.Context, order *testpb.Order) (*testpb.Receipt, error) {
			switch order.GetCurrency() {
			case "mark":
				assert.NoError(t, idempotency.MarkEffect(ctx))
			case "release":
				return nil, status.Error(codes.Unavailable, "no")
			case "declined":
				return nil, status.Error(codes.NotFound, "no")
			}
			return &testpb.Receipt{Id: costlyBody(order.GetCurrency())}, nil
		},
	})
	eventually(t, "the check of the store", func() bool {
		sent := line.Requests()
		return sent["info"] == 2 && sent["config"] == 1 && sent["evalsha"] == 1 && sent["unsubscribe"] == 1
	})
	return s, line
}

func newMeasuredHTTP(t *testing.T) *node {
	t.Helper()
	return newMeasuredNode(t, shared.Server(t), setup{handler: func(w http.ResponseWriter, r *http.Request) {
		do := r.Header.Get("X-Do")
		switch do {
		case "mark":
			assert.NoError(t, idempotency.MarkEffect(r.Context()))
		case "release":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "declined":
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, costlyBody(do))
	}})
}

// A call costs the store what a request by HTTP costs it: the commands are the
// same, in the same round trips.
func TestACallCostsTheSameRoundTripsAsARequest(t *testing.T) {
	t.Parallel()
	redistest.NotWithLocalCache(t, "it adds a PTTL to each claim")
	claim, script := []string{"evalsha", "get"}, []string{"evalsha"}
	tests := []struct {
		do            string
		first, second [][]string
	}{
		{"small", [][]string{claim, script}, [][]string{claim}},
		{"declined", [][]string{claim, script}, [][]string{claim}},
		{"mark", [][]string{claim, script, script}, [][]string{claim}},
		{"release", [][]string{claim, script}, [][]string{claim, script}},
		{"large", [][]string{claim, {"set", "evalsha"}}, [][]string{claim}},
	}
	byCall, calls := newMeasuredGRPC(t)
	byRequest := newMeasuredHTTP(t)
	for _, test := range tests {
		key := newKey()
		for attempt, want := range [][][]string{test.first, test.second} {
			calls.ResetCounts()
			byRequest.line.ResetCounts()
			byCall.create(t.Context(), key, &testpb.Order{Currency: test.do})
			send(t, byRequest.URL, call{key: key, body: "B", header: http.Header{"X-Do": {test.do}}})
			assert.Equal(t, want, calls.Packets(), "%s, time %d, gRPC", test.do, attempt)
			assert.Equal(t, want, byRequest.line.Packets(), "%s, time %d, HTTP", test.do, attempt)
		}
	}
	assert.Equal(t, 6, byCall.Runs(), "one of each, but two of what was released")
	assert.Equal(t, 6, byRequest.Runs())
}

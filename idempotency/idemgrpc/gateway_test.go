package idemgrpc_test

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

func newGateway(t *testing.T, options ...idemgrpc.GatewayOption) *idemgrpc.Gateway {
	t.Helper()
	g, err := idemgrpc.NewGateway(options...)
	require.NoError(t, err)
	return g
}

// Every refusal looks to an HTTP client as the HTTP middleware would show it.
func TestG26_GatewayAnswersRefusalsAsTheHTTPMiddleware(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	for _, code := range []idempotency.Code{
		idempotency.ErrKeyMissing, idempotency.ErrKeyInvalid, idempotency.ErrBodyUnreadable, idempotency.ErrBodyTooLarge,
		idempotency.ErrKeyReused, idempotency.ErrInProgress, idempotency.ErrOutcomeUnknown, idempotency.ErrResultUnavailable,
		idempotency.ErrReplayDenied, idempotency.ErrScopeBusy, idempotency.ErrOverloaded, idempotency.ErrNotStarted,
		idempotency.ErrScopeMissing, idempotency.ErrStoreUnavailable, idempotency.ErrDraining, idempotency.ErrLeaseLost,
		idempotency.ErrRecordUnreadable,
	} {
		for _, wait := range []time.Duration{0, 1500 * time.Millisecond} {
			t.Run(fmt.Sprint(code, " ", wait), func(t *testing.T) {
				t.Parallel()
				refused := &idempotency.Error{Code: code}
				over := idemgrpc.StatusOf(refused, idemgrpc.DefaultDomain, "")
				if len(over.Details()) > 1 && code != idempotency.ErrKeyMissing && code != idempotency.ErrKeyInvalid {
					refused.RetryAfter = wait
				}
				want := httptest.NewRecorder()
				idemhttp.WriteError(want, refused)

				h := http.Header{}
				got, ok := g.DescribeError(h, nil, fmt.Errorf("calling: %w", idemgrpc.StatusOf(refused, idemgrpc.DefaultDomain, "").Err()))

				require.True(t, ok)
				assert.Equal(t, want.Code, got)
				for _, name := range []string{"Retry-After", "Idempotency-Status", "Idempotent-Replayed"} {
					assert.Equal(t, want.Header().Values(name), h.Values(name), name)
				}
			})
		}
	}
}

func TestG26_GatewayLeavesTheServicesOwnErrorsTheirStatus(t *testing.T) {
	t.Parallel()
	retry := func(d time.Duration) error {
		st, err := status.New(codes.Unavailable, "later").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(d)})
		require.NoError(t, err)
		return st.Err()
	}
	inDomain := func(domain string, code idempotency.Code) error {
		return idemgrpc.StatusOf(&idempotency.Error{Code: code}, domain, "").Err()
	}
	marks := metadata.Pairs("idempotent-replayed", "true", "idempotency-status", "replayed",
		"idempotency-recorded-at", "2026-01-02T03:04:05Z", "x-other", "1")
	tests := []struct {
		name    string
		err     error
		trailer metadata.MD
		ok      bool
		header  http.Header
	}{
		{"no error", nil, nil, false, http.Header{}},
		{"no status", assert.AnError, nil, false, http.Header{}},
		{"a recorded error that is replayed", status.Error(codes.NotFound, "no such order"), marks, false, http.Header{
			"Idempotent-Replayed": {"true"}, "Idempotency-Status": {"replayed"}, "Idempotency-Recorded-At": {"2026-01-02T03:04:05Z"},
		}},
		{"the service says when", retry(2 * time.Second), nil, false, http.Header{"Retry-After": {"2"}}},
		{"rounded up", retry(time.Millisecond), nil, false, http.Header{"Retry-After": {"1"}}},
		{"at once", retry(0), nil, false, http.Header{}},
		{"in the past", retry(-time.Second), nil, false, http.Header{}},
		{"in three centuries", retry(math.MaxInt64), nil, false, http.Header{"Retry-After": {"9223372037"}}},
		{"another domain", inDomain("else.example.com", idempotency.ErrKeyReused), nil, false, http.Header{}},
		{"a named domain", inDomain("orders.example.com", idempotency.ErrKeyReused), nil, true, http.Header{"Idempotency-Status": {"mismatch"}}},
		{"a refusal that a later version knows", inDomain(idemgrpc.DefaultDomain, "moon_phase"), metadata.Pairs("idempotency-status", "rejected"),
			false, http.Header{"Idempotency-Status": {"rejected"}}},
		{"the server's mark counts", inDomain(idemgrpc.DefaultDomain, idempotency.ErrKeyReused), metadata.Pairs("idempotency-status", "unrecorded"),
			true, http.Header{"Idempotency-Status": {"unrecorded"}}},
	}
	g := newGateway(t, idemgrpc.GatewayErrorDomain("orders.example.com"))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			_, ok := g.DescribeError(h, tt.trailer, tt.err)
			assert.Equal(t, tt.ok, ok)
			assert.Equal(t, tt.header, h)
		})
	}
}

func TestG26_GatewayHandsOverTheKeyAsItCame(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		options []idemgrpc.GatewayOption
		header  http.Header
		want    metadata.MD
	}{
		{"no key", nil, http.Header{"Accept": {"*/*"}}, metadata.MD{}},
		{"bare", nil, http.Header{"Idempotency-Key": {"k-1"}}, metadata.Pairs("idempotency-key", "k-1")},
		{"quoted", nil, http.Header{"Idempotency-Key": {`"k 1";a=1`}}, metadata.Pairs("idempotency-key", `"k 1";a=1`)},
		{"two lines", nil, http.Header{"Idempotency-Key": {"a", "b"}}, metadata.Pairs("idempotency-key", "a", "idempotency-key", "b")},
		{"empty", nil, http.Header{"Idempotency-Key": {""}}, metadata.Pairs("idempotency-key", "")},
		{"what gRPC cannot carry is still a key that was sent", nil, http.Header{"Idempotency-Key": {"schlüssel"}}, metadata.Pairs("idempotency-key", "")},
		{
			"other names", []idemgrpc.GatewayOption{idemgrpc.GatewayKeyHeader("X-Request-ID", "Order-Key")},
			http.Header{"X-Request-Id": {"1"}, "Order-Key": {"2"}, "Idempotency-Key": {"3"}},
			metadata.Pairs("x-request-id", "1", "order-key", "2"),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", http.NoBody)
			r.Header = tt.header
			got := newGateway(t, tt.options...).Metadata(t.Context(), r)
			for _, name := range []string{"grpc-previous-rpc-attempts", "grpc-retry-pushback-ms"} {
				assert.Contains(t, got, name, "so that the gateway replaces what came from outside")
				assert.Empty(t, got[name])
				delete(got, name)
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

// A gateway forwards the header of a call on errors, too.
func TestG26_MarksDoNotPassByTheirNames(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	nothing := func(string) (string, bool) { return "", false }
	everything := func(name string) (string, bool) { return name, true }
	tests := []struct {
		name string
		rest func(string) (string, bool)
		want string // "" if it does not pass
	}{
		{"idempotent-replayed", nil, ""},
		{"idempotency-status", everything, ""},
		{"Idempotency-Recorded-At", everything, ""},
		{"x-cost", nil, "Grpc-Metadata-x-cost"},
		{"x-cost", nothing, ""},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.name, " ", tt.want), func(t *testing.T) {
			t.Parallel()
			got, ok := g.HeaderMatcher(tt.rest)(tt.name)
			assert.Equal(t, tt.want != "", ok)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestG26_MarksAreThoseOfAnAnswerThatCame(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	md := metadata.Pairs("idempotency-status", "replayed", "idempotent-replayed", "true",
		"idempotency-recorded-at", "2026-01-02T03:04:05Z", "x-cost", "1")
	h := http.Header{}
	g.DescribeAnswer(h, md, nil)
	assert.Empty(t, h, "a stream that has only begun")
	g.DescribeAnswer(h, nil, &durationpb.Duration{})
	assert.Empty(t, h, "a service without marks")
	for range 2 { // messages of a stream
		g.DescribeAnswer(h, md, &durationpb.Duration{})
		assert.Equal(t, http.Header{
			"Idempotency-Status": {"replayed"}, "Idempotent-Replayed": {"true"}, "Idempotency-Recorded-At": {"2026-01-02T03:04:05Z"},
		}, h)
	}
	g.DescribeError(h, nil, status.Error(codes.Internal, "the answer cannot be written as JSON"))
	assert.Empty(t, h, "what is sent instead is another answer")
}

func TestG26_WhatIsGRPCsOwnIsNoHTTPTrailer(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	nothing := func(string) (string, bool) { return "", false }
	tests := []struct {
		name string
		rest func(string) (string, bool)
		want string // "" if it does not pass
	}{
		{"grpc-status-details-bin", nil, ""},
		{"Grpc-Retry-Pushback-Ms", nil, ""},
		{"x-cost", nil, "Grpc-Trailer-x-cost"},
		{"x-cost", nothing, ""},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.name, " ", tt.want), func(t *testing.T) {
			t.Parallel()
			got, ok := g.TrailerMatcher(tt.rest)(tt.name)
			assert.Equal(t, tt.want != "", ok)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestNewGatewayNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		option idemgrpc.GatewayOption
		want   string
	}{
		{"nil", nil, "a nil option"},
		{"no name", idemgrpc.GatewayKeyHeader(""), `GatewayKeyHeader: "" cannot be a metadata name`},
		{"a space", idemgrpc.GatewayKeyHeader("a b"), `"a b" cannot`},
		{"another meaning", idemgrpc.GatewayKeyHeader("Authorization"), "authorization"},
		{"binary", idemgrpc.GatewayKeyHeader("key-bin"), "key-bin"},
		{"twice", idemgrpc.GatewayKeyHeader("X-Key", "x-key"), "x-key is named twice"},
		{"no domain", idemgrpc.GatewayErrorDomain(), "GatewayErrorDomain: it names none"},
		{"an empty domain", idemgrpc.GatewayErrorDomain("a", ""), "GatewayErrorDomain: it names none, or an empty one"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g, err := idemgrpc.NewGateway(tt.option)
			require.ErrorContains(t, err, "idemgrpc: NewGateway: ")
			require.ErrorContains(t, err, tt.want)
			assert.Nil(t, g)
		})
	}
}

// What a gateway's error handler does with a refusal.
func ExampleNewGateway() {
	gateway, err := idemgrpc.NewGateway()
	if err != nil {
		panic(err)
	}
	err = idemgrpc.StatusOf(&idempotency.Error{Code: idempotency.ErrInProgress}, idemgrpc.DefaultDomain, "").Err()

	w := httptest.NewRecorder()
	code, ok := gateway.DescribeError(w.Header(), nil, err)
	fmt.Println(code, ok, w.Header().Get("Idempotency-Status"), w.Header().Get("Retry-After"))
	// Output: 409 true conflict 1
}

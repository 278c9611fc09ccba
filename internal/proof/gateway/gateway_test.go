package gateway_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/internal/testpb"
)

func TestG26_OneKeyOverHTTPIsOneRun(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{})
	key := rand.Text()
	first, second := s.post(t, key), s.post(t, key)
	require.Equal(t, http.StatusOK, first.Status, first.Body)
	requireMark(t, first, "executed")
	requireMark(t, second, "replayed")
	firstID, _ := first.receipt(t)
	secondID, _ := second.receipt(t)
	assert.Equal(t, firstID, secondID)
	assert.EqualValues(t, 1, s.runs.Load())

	other := s.post(t, rand.Text())
	requireMark(t, other, "executed")
	assert.EqualValues(t, 2, s.runs.Load(), "another key is another operation")
}

// One identity: the key's spelling and its way do not matter.
func TestG26_AKeyIsOneOperationByHTTPAndByGRPC(t *testing.T) {
	t.Parallel()
	const anyone = "order 17"
	byGRPC := func(t *testing.T, s *stage, key, field string) string {
		t.Helper()
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "acme")
		if key != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "idempotency-key", key)
		}
		got, err := s.clients[0].Create(ctx, &testpb.Order{Amount: 1999, Currency: "EUR", RequestId: field})
		require.NoError(t, err)
		return got.GetId()
	}
	byHTTP := func(t *testing.T, s *stage, r request) string {
		t.Helper()
		r.url = s.urls[0]
		id, _ := s.postTo(t, r).receipt(t)
		return id
	}
	ways := map[string]func(t *testing.T, s *stage) string{
		"HTTP, header, quoted": func(t *testing.T, s *stage) string {
			return byHTTP(t, s, request{keys: []string{`"order-17"`}})
		},
		"HTTP, header, quoted with parameters": func(t *testing.T, s *stage) string {
			return byHTTP(t, s, request{keys: []string{`"order-17";v=1`}})
		},
		"HTTP, header, bare": func(t *testing.T, s *stage) string {
			return byHTTP(t, s, request{keys: []string{"order-17"}})
		},
		"HTTP, field": func(t *testing.T, s *stage) string {
			return byHTTP(t, s, request{body: `{"request_id": "order-17", "amount": "1999", "currency": "EUR"}`})
		},
		"HTTP, both": func(t *testing.T, s *stage) string {
			return byHTTP(t, s, request{keys: []string{"order-17"}, body: `{"requestId": "order-17", "currency": "EUR", "amount": 1999}`})
		},
		"gRPC, metadata, bare":   func(t *testing.T, s *stage) string { return byGRPC(t, s, "order-17", "") },
		"gRPC, metadata, quoted": func(t *testing.T, s *stage) string { return byGRPC(t, s, `"order-17"`, "") },
		"gRPC, field":            func(t *testing.T, s *stage) string { return byGRPC(t, s, "", "order-17") },
	}
	for first, firstWay := range ways {
		t.Run(first+" first", func(t *testing.T) {
			t.Parallel()
			s := newStage(t, setting{})
			id := firstWay(t, s)
			for name, way := range ways {
				assert.Equal(t, id, way(t, s), name)
			}
			assert.EqualValues(t, 1, s.runs.Load())
			assert.NotEqual(t, id, byGRPC(t, s, "", anyone))
			assert.EqualValues(t, 2, s.runs.Load())
		})
	}
}

func TestG26_InProgressIs409WithRetryAfter(t *testing.T) {
	t.Parallel()
	running, finish := make(chan struct{}), make(chan struct{})
	s := newStage(t, setting{wait: 50 * time.Millisecond, create: func(context.Context) error {
		close(running)
		<-finish
		return nil
	}})
	key := rand.Text()
	answers := make(chan answer, 1)
	go func() {
		a, err := send(t.Context(), direct(), request{url: s.urls[0], keys: []string{key}})
		assert.NoError(t, err)
		answers <- a
	}()
	<-running
	duplicate := s.post(t, key)
	close(finish)
	requireRefusal(t, duplicate, http.StatusConflict, "IN_PROGRESS", "conflict", true)
	requireMark(t, <-answers, "executed")
	requireMark(t, s.post(t, key), "replayed")
	assert.EqualValues(t, 1, s.runs.Load())
}

func TestG26_AnotherRequestUnderTheKeyIs422(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{})
	key := rand.Text()
	requireMark(t, s.post(t, key), "executed")
	got := s.postTo(t, request{url: s.urls[0], keys: []string{key}, body: `{"amount": "2", "currency": "EUR"}`})
	requireRefusal(t, got, http.StatusUnprocessableEntity, "IDEMPOTENCY_KEY_REUSED", "mismatch", false)
	assert.EqualValues(t, 1, s.runs.Load())
}

// What is wrong with the key's field over HTTP is wrong with it here, also where a
// key may be missing.
func TestG26_AMissingOrWrongKeyIs400(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		keys   []string
		reason string
	}{
		{"none", nil, "IDEMPOTENCY_KEY_MISSING"},
		{"empty", []string{""}, "IDEMPOTENCY_KEY_INVALID"},
		{"a list", []string{"a, b"}, "IDEMPOTENCY_KEY_INVALID"},
		{"two lines", []string{"a", "b"}, "IDEMPOTENCY_KEY_INVALID"},
		{"two equal lines", []string{"a", "a"}, "IDEMPOTENCY_KEY_INVALID"},
		{"an open quote", []string{`"a`}, "IDEMPOTENCY_KEY_INVALID"},
		{"256 characters", []string{strings.Repeat("k", 256)}, "IDEMPOTENCY_KEY_INVALID"},
		{"not ASCII", []string{"schlüssel"}, "IDEMPOTENCY_KEY_INVALID"},
		{"a tab", []string{"\"a\tb\""}, "IDEMPOTENCY_KEY_INVALID"},
	}
	for rule, policy := range map[string]idempotency.Policy{"required": {}, "optional": {Key: idempotency.KeyOptional}} {
		s := newStage(t, setting{policy: policy})
		for _, tt := range tests {
			if tt.keys == nil && policy.Key == idempotency.KeyOptional {
				continue
			}
			t.Run(rule+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				requireRefusal(t, s.post(t, tt.keys...), http.StatusBadRequest, tt.reason, "rejected", false)
				assert.Zero(t, s.runs.Load())
			})
		}
	}
}

func TestG26_UnavailableIs503AndARetryRuns(t *testing.T) {
	t.Parallel()
	var s *stage
	s = newStage(t, setting{create: func(context.Context) error {
		if s.runs.Load() > 1 {
			return nil
		}
		st, err := status.New(codes.Unavailable, "not now").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)})
		if err != nil {
			return err
		}
		return st.Err()
	}})
	key := rand.Text()
	first := s.post(t, key)
	require.Equal(t, http.StatusServiceUnavailable, first.Status)
	requireMark(t, first, "unrecorded")
	assert.Equal(t, []string{"2"}, first.Header.Values("Retry-After"), "as the service says")
	requireMark(t, s.post(t, key), "executed")
	requireMark(t, s.post(t, key), "replayed")
	assert.EqualValues(t, 2, s.runs.Load())
}

func TestG26_ARecordedErrorIsReplayedWithItsStatusAndDetails(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{create: func(context.Context) error {
		st, err := status.New(codes.NotFound, "no such article "+rand.Text()).WithDetails(&errdetails.ErrorInfo{Reason: "SOLD_OUT", Domain: "orders.example.com"})
		if err != nil {
			return err
		}
		return st.Err()
	}})
	for name, header := range map[string]http.Header{"": {}, "with trailers": {"Te": {"trailers"}}} {
		key := rand.Text()
		first := s.postTo(t, request{url: s.urls[0], keys: []string{key}, header: header})
		second := s.postTo(t, request{url: s.urls[0], keys: []string{key}, header: header})
		require.Equal(t, http.StatusNotFound, first.Status, name)
		require.Equal(t, http.StatusNotFound, second.Status, name)
		assert.JSONEq(t, first.Body, second.Body, name)
		assert.Equal(t, "SOLD_OUT", second.reason(), name)
		requireMark(t, first, "executed")
		requireMark(t, second, "replayed")
	}
	assert.EqualValues(t, 2, s.runs.Load())
}

func TestG26_AnOutcomeThatNobodyKnowsIs409(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{create: func(context.Context) error { return status.Error(codes.Internal, "what now") }})
	key := rand.Text()
	first := s.post(t, key)
	require.Equal(t, http.StatusInternalServerError, first.Status)
	requireMark(t, first, "unrecorded")
	requireRefusal(t, s.post(t, key), http.StatusConflict, "OUTCOME_UNKNOWN", "unknown", false)
	assert.EqualValues(t, 1, s.runs.Load())
}

func TestG26_WithoutTheStoreItIs503AndNothingRuns(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	s := newStage(t, setting{redis: srv})
	srv.Kill()
	requireRefusal(t, s.post(t, rand.Text()), http.StatusServiceUnavailable, "STORE_UNAVAILABLE", "rejected", true)
	assert.Zero(t, s.runs.Load())
}

func TestG26_TheKeysFieldMayHaveAnotherName(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{
		gateway: []idemgrpc.GatewayOption{idemgrpc.GatewayKeyHeader("X-Request-Id")},
		service: []idemgrpc.Option{idemgrpc.KeyMetadata("x-request-id")},
	})
	r := request{url: s.urls[0], header: http.Header{"X-Request-Id": {"17"}}}
	requireMark(t, s.postTo(t, r), "executed")
	requireMark(t, s.postTo(t, r), "replayed")
	requireRefusal(t, s.post(t, "17"), http.StatusBadRequest, "IDEMPOTENCY_KEY_MISSING", "rejected", false)
}

// A gateway may let metadata in from outside; a second key, or what gRPC says of
// its own retries, does not get in with it.
func TestG26_ClientsCannotPretendToBeGRPC(t *testing.T) {
	t.Parallel()
	seen := make(chan metadata.MD, 1)
	s := newStage(t, setting{
		mux: []runtime.ServeMuxOption{runtime.WithLegacyHeaderMatching()},
		create: func(ctx context.Context) error {
			md, _ := metadata.FromIncomingContext(ctx)
			seen <- md
			return nil
		},
	})
	got := s.postTo(t, request{url: s.urls[0], keys: []string{"the-key"}, header: http.Header{
		"Grpc-Metadata-Idempotency-Key":            {"another"},
		"Grpc-Metadata-Grpc-Previous-Rpc-Attempts": {"3"},
		"Grpc-Metadata-Grpc-Retry-Pushback-Ms":     {"3"},
		"Grpc-Metadata-X-Other":                    {"4"},
	}})
	requireMark(t, got, "executed")
	md := <-seen
	assert.Equal(t, []string{"the-key"}, md.Get("idempotency-key"))
	assert.Equal(t, []string{"4"}, md.Get("x-other"), "what else the matcher lets in is its own affair")
	assert.Empty(t, md.Get("grpc-previous-rpc-attempts"))
	assert.Empty(t, md.Get("grpc-retry-pushback-ms"))
}

func TestG26_AStreamIsReplayed(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{})
	many := strings.Replace(s.urls[0], "/orders", "/batches", 1)
	key := rand.Text()
	const batch = `{"orders": [{"amount": "1"}, {"amount": "2"}]}`
	first := s.postTo(t, request{url: many, keys: []string{key}, body: batch})
	second := s.postTo(t, request{url: many, keys: []string{key}, body: batch})
	require.Equal(t, http.StatusOK, first.Status, first.Body)
	assert.Equal(t, 2, strings.Count(first.Body, "result"))
	assert.Equal(t, spaceless(first.Body), spaceless(second.Body))
	assert.Empty(t, first.Header.Values("Idempotent-Replayed"))
	requireMark(t, second, "replayed")
	assert.EqualValues(t, 1, s.runs.Load())
}

// grpc-gateway asks nobody how to answer a stream's error. If a later version
// does, the doc comment of Gateway is wrong.
func TestG26_AStreamsRefusalHasTheGatewaysOwnStatus(t *testing.T) {
	t.Parallel()
	s := newStage(t, setting{})
	many := strings.Replace(s.urls[0], "/orders", "/batches", 1)
	key := rand.Text()
	require.Equal(t, http.StatusOK, s.postTo(t, request{url: many, keys: []string{key}, body: `{"orders": [{}]}`}).Status)
	got := s.postTo(t, request{url: many, keys: []string{key}, body: `{}`})
	assert.Equal(t, http.StatusBadRequest, got.Status)
	assert.Contains(t, got.Body, "IDEMPOTENCY_KEY_REUSED")
	assert.Empty(t, got.Header.Values("Idempotency-Status"))
	assert.EqualValues(t, 1, s.runs.Load())
}

// spaceless undoes what protojson does on purpose, so that nobody compares bytes.
func spaceless(json string) string { return strings.ReplaceAll(json, " ", "") }

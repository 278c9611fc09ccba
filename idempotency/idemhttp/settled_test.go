package idemhttp_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store"
)

func TestSuppliedAnswerSaysWhatItWasGiven(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		status int
		header http.Header
		body   string
		want   http.Header
	}{
		{"JSON", 201, http.Header{"Content-Type": {"application/json"}, "Location": {"/p/1"}}, "{}",
			http.Header{"Content-Type": {"application/json"}, "Location": {"/p/1"}}},
		{"beyond the standard list", 200, http.Header{"x-cost": {"7"}, "Link": {"<a>", "<b>"}}, "",
			http.Header{"X-Cost": {"7"}, "Link": {"<a>", "<b>"}}},
		{"guessed type", 200, nil, "<html>", http.Header{"Content-Type": {"text/html; charset=utf-8"}}},
		{"encoded body is not guessed at", 200, http.Header{"content-encoding": {"gzip"}}, "\x1f\x8b\x08",
			http.Header{"Content-Encoding": {"gzip"}}},
		{"declared as nothing", 200, http.Header{"Content-Type": nil}, "x", http.Header{}},
		{"no body", 204, nil, "", http.Header{}},
		{"an error is an answer, too", 422, nil, "", http.Header{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			answer, err := idemhttp.NewAnswer(test.status, test.header, []byte(test.body))
			require.NoError(t, err)
			assert.Equal(t, store.BodyKept, answer.Omitted)
			assert.Equal(t, test.body, string(answer.Body))
			status, header, err := idemhttp.DescribeAnswer(answer)
			require.NoError(t, err)
			assert.Equal(t, test.status, status)
			assert.Equal(t, test.want, header)
		})
	}
}

func TestSuppliedAnswerThatCannotBeReplayedIsRefused(t *testing.T) {
	t.Parallel()
	many := make(http.Header)
	for range 1025 {
		many.Add("Link", "<a>")
	}
	for _, test := range []struct {
		name   string
		status int
		header http.Header
		body   string
		says   string
	}{
		{"no status", 0, nil, "", "status 0"},
		{"informational", 103, nil, "", "status 103"},
		{"switching protocols", 101, nil, "", "status 101"},
		{"four digits", 1000, nil, "", "status 1000"},
		{"body on 204", 204, nil, "x", "status 204"},
		{"body on 304", 304, nil, "x", "status 304"},
		{"credential", 200, http.Header{"set-cookie": {"a=b"}}, "", "set-cookie"},
		{"the middleware's own", 200, http.Header{"Idempotency-Status": {"executed"}}, "", "Idempotency-Status"},
		{"connection's", 200, http.Header{"Content-Length": {"3"}}, "abc", "Content-Length"},
		{"no name", 200, http.Header{"a b": {"c"}}, "", "a b"},
		{"line break", 200, http.Header{"Location": {"/a\r\nSet-Cookie: b"}}, "", "Location"},
		{"too many fields", 200, many, "", "1024 fields"},
		{"too long a field", 200, http.Header{"Link": {strings.Repeat("x", 1<<16)}}, "", "65536 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := idemhttp.NewAnswer(test.status, test.header, []byte(test.body))
			require.ErrorContains(t, err, test.says)
			assert.ErrorContains(t, err, "NewAnswer")
		})
	}
}

func TestSuppliedBodyIsCopied(t *testing.T) {
	t.Parallel()
	body := []byte("first")
	answer, err := idemhttp.NewAnswer(200, nil, body)
	require.NoError(t, err)
	copy(body, "spoil")
	assert.Equal(t, "first", string(answer.Body))
}

func TestDescribedAnswerOfAnotherKindIsAnError(t *testing.T) {
	t.Parallel()
	_, _, err := idemhttp.DescribeAnswer(store.Answer{Codec: "grpc/1"})
	require.ErrorIs(t, err, idempotency.ErrResultUnavailable)
	_, _, err = idemhttp.DescribeAnswer(store.Answer{Codec: "http/1", Meta: []byte{0xFF}})
	require.ErrorIs(t, err, idempotency.ErrRecordUnreadable)
}

// What a handler answers and what is supplied in its place are replayed alike.
func TestSuppliedAnswerIsReplayedAsAHandlersWouldBe(t *testing.T) {
	t.Parallel()
	guard, stop := newGuard()
	defer stop()
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	require.NoError(t, err)
	const operation = "POST /payments"
	mux := http.NewServeMux()
	require.NoError(t, mw.Handle(mux, operation, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.NoError(t, idempotency.MarkEffect(r.Context()))
		w.WriteHeader(http.StatusGatewayTimeout)
	})))
	send := func() *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/payments", strings.NewReader("B"))
		r.Header.Set("Idempotency-Key", "k")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}
	require.Equal(t, 504, send().Code)
	require.Equal(t, "unknown", send().Header().Get("Idempotency-Status"))

	id := guard.ID(operation, idemhttp.GlobalScopeName, "k")
	seen, err := guard.Lookup(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, store.Unknown, seen.State)
	answer, err := idemhttp.NewAnswer(201, http.Header{"Location": {"/p/7"}, "Content-Type": {"application/json"}}, []byte(`{"id":7}`))
	require.NoError(t, err)
	require.NoError(t, guard.Settle(t.Context(), id, idempotency.Settlement{Token: seen.Token, Answer: &answer, By: "t", Reason: "r"}))

	got := send()
	assert.Equal(t, 201, got.Code)
	assert.JSONEq(t, `{"id":7}`, got.Body.String())
	assert.Equal(t, "/p/7", got.Header().Get("Location"))
	assert.Equal(t, "application/json", got.Header().Get("Content-Type"))
	assert.Equal(t, "replayed", got.Header().Get("Idempotency-Status"))
}

package idemhttp

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestR4_F72_UnsafeHeadersAreRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Set-Cookie", "set-cookie2", "AUTHORIZATION", "WWW-Authenticate", "Authentication-Info",
		"Proxy-Authenticate", "Proxy-Status", "Connection", "Keep-Alive", "TE", "Trailer",
		"Transfer-Encoding", "Upgrade", "Date", "Server", "Content-Length",
		"Access-Control-Allow-Origin", "Traceparent", "Idempotency-Status", "Idempotent-Replayed",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := checkHeaderNames([]string{"X-Fine", name})
			require.ErrorContains(t, err, name)
			assert.NotContains(t, err.Error(), "X-Fine")
		})
	}
}

func TestHeaderNamesMustBeNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", " ", "X Header", "X-Header:", "X-Hëader", "X-\n", "X-Rate-*", "*"} {
		assert.Error(t, checkHeaderNames([]string{name}), "%q", name)
	}
}

func TestEveryBadHeaderNameIsReported(t *testing.T) {
	t.Parallel()
	err := checkHeaderNames([]string{"Date", "bad name"})
	assert.ErrorContains(t, err, "Date")
	assert.ErrorContains(t, err, "bad name")
}

func TestStandardAndHarmlessHeadersAreAccepted(t *testing.T) {
	t.Parallel()
	require.NoError(t, checkHeaderNames(standardHeaders()))
	require.NoError(t, checkHeaderNames([]string{"X-Request-Cost", "retry-after", "Cache-Control"}))
}

func TestRecordedHeadersAreCanonicalAndUnique(t *testing.T) {
	t.Parallel()
	names := recordedHeaders([]string{"x-total", "X-Total", "location"})
	assert.Equal(t, append(standardHeaders(), "X-Total"), names)
	for _, name := range names {
		assert.Equal(t, http.CanonicalHeaderKey(name), name)
	}
}

func TestPickedHeadersAreInAFixedOrder(t *testing.T) {
	t.Parallel()
	h := http.Header{
		"X-Total": {"1"}, "ETag": {`"raw"`}, "Etag": {`"canonical"`}, "Link": {"<b>", "<a>"},
		"Set-Cookie": {"s=1"}, "Content-Type": nil, "Location": {""},
	}
	want := []field{
		{"Location", ""}, {"Etag", `"raw"`}, {"Etag", `"canonical"`},
		{"Link", "<b>"}, {"Link", "<a>"}, {"X-Total", "1"},
	}
	for range 20 {
		assert.Equal(t, want, pickHeaders(h, recordedHeaders([]string{"X-Total"})))
	}
}

package idemhttp_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

const uuid4 = `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`

func clientRequest(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	return req
}

func TestSetKeyDrawsOnceAndNeverOverwrites(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		header http.Header
		want   http.Header // nil: a fresh key
	}{
		{name: "no header map", header: nil},
		{name: "no entry", header: http.Header{}},
		{name: "entry without values", header: http.Header{"Idempotency-Key": nil}},
		{name: "empty value", header: http.Header{"Idempotency-Key": {""}}},
		{name: "blank value in another spelling", header: http.Header{"idempotency-key": {" \t"}}},
		{name: "a key", header: http.Header{"Idempotency-Key": {"k"}}, want: http.Header{"Idempotency-Key": {"k"}}},
		{name: "a key in another spelling", header: http.Header{"idempotency-KEY": {"k"}}, want: http.Header{"idempotency-KEY": {"k"}}},
		{name: "a quoted key", header: http.Header{"Idempotency-Key": {`"k"`}}, want: http.Header{"Idempotency-Key": {`"k"`}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req := clientRequest(t, http.MethodPost, "http://service/", "")
			req.Header = tt.header
			first := idemhttp.SetKey(req)
			second := idemhttp.SetKey(req)
			assert.Equal(t, first, second)
			if tt.want != nil {
				assert.Equal(t, tt.want, req.Header)
				return
			}
			assert.Regexp(t, uuid4, first)
			assert.Equal(t, http.Header{"Idempotency-Key": {first}}, req.Header, "one field line")
		})
	}
}

func TestKeysAreDrawnAfresh(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 1000 {
		seen[idemhttp.SetKey(clientRequest(t, http.MethodPost, "http://service/", ""))] = true
	}
	assert.Len(t, seen, 1000)
}

func TestKeyOfTheContext(t *testing.T) {
	t.Parallel()
	_, ok := idemhttp.KeyFromContext(t.Context())
	assert.False(t, ok)

	key, ok := idemhttp.KeyFromContext(idemhttp.WithKey(t.Context(), "order-1"))
	assert.True(t, ok)
	assert.Equal(t, "order-1", key)

	ctx := idemhttp.WithKey(t.Context(), "")
	drawn, ok := idemhttp.KeyFromContext(ctx)
	assert.True(t, ok)
	assert.Regexp(t, uuid4, drawn)
	again, _ := idemhttp.KeyFromContext(ctx)
	assert.Equal(t, drawn, again, "the key is the context's, not the call's")
}

// A stored key that SetKey replaced by a fresh one would run the operation again.
func TestSetKeyTakesTheContextsKey(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, key, value string }{
		{"sent bare", "order-1", "order-1"},
		{"needs quotes", `order "1"`, `"order \"1\""`},
		{"cannot be sent, and is not replaced", "order\n1", "order\n1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req := clientRequest(t, http.MethodPost, "http://service/", "")
			req = req.WithContext(idemhttp.WithKey(t.Context(), tt.key))
			assert.Equal(t, tt.value, idemhttp.SetKey(req))
			assert.Equal(t, []string{tt.value}, req.Header["Idempotency-Key"])
		})
	}
}

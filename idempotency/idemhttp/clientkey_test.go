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

// Blank lines are no key, and the service would refuse the field because of them.
func TestSetKeyLeavesOneLine(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		lines []string
		want  []string
	}{
		{"a blank line before", []string{"", "abc"}, []string{"abc"}},
		{"a blank line behind", []string{"abc", " "}, []string{"abc"}},
		{"the same key twice", []string{"abc", "abc"}, []string{"abc"}},
		{"several keys are for the sender to refuse", []string{"abc", "abd"}, []string{"abc", "abd"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req := clientRequest(t, http.MethodPost, "http://service/", "")
			req.Header["Idempotency-Key"] = tt.lines
			assert.Equal(t, "abc", idemhttp.SetKey(req))
			assert.Equal(t, tt.want, req.Header["Idempotency-Key"])
		})
	}
}

func TestTransportExaminesTheKeyInTheHeader(t *testing.T) {
	t.Parallel()
	quoted := `"` + strings.Repeat(`\"`, 255) + `"`
	tests := []struct {
		name  string
		lines []string
		want  string // "" is refused
		says  string
	}{
		{name: "a blank line beside", lines: []string{"", "abc"}, want: "abc"},
		{name: "spaces around", lines: []string{" abc\t"}, want: "abc"},
		{name: "the same twice", lines: []string{"abc", "abc"}, want: "abc"},
		{name: "a syntax of the service's", lines: []string{"a b;c,d"}, want: "a b;c,d"},
		{name: "the longest bare one", lines: []string{strings.Repeat("k", 255)}, want: strings.Repeat("k", 255)},
		{name: "the longest quoted one", lines: []string{quoted}, want: quoted},
		{name: "quoted, with parameters", lines: []string{`"k";a=1`}, want: `"k";a=1`},
		{name: "two keys", lines: []string{"secret-1", "secret-2"}, says: "2 different values"},
		{name: "too long", lines: []string{strings.Repeat("secret", 50)}, says: "more than 255"},
		{name: "too long in quotes", lines: []string{`"` + strings.Repeat("secret", 50) + `"`}, says: "more than 255"},
		{name: "parameters without end", lines: []string{`"secret"` + strings.Repeat(";a=1", 4096)}, says: "more than 255"},
		{name: "no end of the quotes", lines: []string{`"secret`}, says: "quoted string"},
		{name: "not ASCII", lines: []string{"secret-é"}, says: "printable ASCII"},
		{name: "a tab", lines: []string{"secret\tb"}, says: "printable ASCII"},
		{name: "a line break", lines: []string{"secret\r\nX: y"}, says: "printable ASCII"},
		{name: "a line break at the end", lines: []string{"secret\n"}, says: "printable ASCII"},
		{name: "only a line break", lines: []string{"\n"}, says: "printable ASCII"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			base := &upstream{}
			body := &closeNoter{Reader: strings.NewReader("body")}
			req := clientRequest(t, http.MethodPost, "http://service/", "")
			req.Body = body
			req.Header["Idempotency-Key"] = tt.lines
			_, err := newTransport(t, base).RoundTrip(req)
			assert.Equal(t, tt.lines, req.Header["Idempotency-Key"], "the request is the caller's")
			assert.True(t, body.closed)
			if tt.want == "" {
				require.ErrorContains(t, err, tt.says)
				assert.NotContains(t, err.Error(), "secret", "a key is in no error")
				assert.Empty(t, base.sent)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, []string{tt.want}, base.keys("Idempotency-Key"))
		})
	}
}

// What WithKey refuses stays refused when SetKey puts it into the header.
func TestTransportRefusesAKeyThatSetKeyCouldNotSpell(t *testing.T) {
	t.Parallel()
	for _, key := range []string{strings.Repeat("k", 256), "clé", "a\tb", "a\n", "\n", "\t"} {
		base := &upstream{}
		req := clientRequest(t, http.MethodPost, "http://service/", "").WithContext(idemhttp.WithKey(t.Context(), key))
		idemhttp.SetKey(req)
		_, err := newTransport(t, base).RoundTrip(req)
		require.Error(t, err)
		assert.Empty(t, base.sent)
	}
}

// One operation has one key, in whichever field the caller set it.
func TestTransportTakesSetKeysKeyToItsOwnField(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		header http.Header
		want   map[string][]string // both fields
	}{
		{
			"set with SetKey", http.Header{"Idempotency-Key": {"mine"}},
			map[string][]string{"Idempotency-Key": {"mine"}, "X-Request-Key": {"mine"}},
		},
		{
			"in its own field, too", http.Header{"Idempotency-Key": {"another"}, "X-Request-Key": {"mine"}},
			map[string][]string{"Idempotency-Key": {"another"}, "X-Request-Key": {"mine"}},
		},
		{
			"a blank one in its own field", http.Header{"Idempotency-Key": {"mine"}, "X-Request-Key": {""}},
			map[string][]string{"Idempotency-Key": {"mine"}, "X-Request-Key": {"mine"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			base := &upstream{}
			req := clientRequest(t, http.MethodPost, "http://service/", "")
			req.Header = tt.header
			req = req.WithContext(idemhttp.WithKey(t.Context(), "of the context"))
			transport := newTransport(t, base, idemhttp.SendKeyIn("X-Request-Key"))
			for range 2 {
				_, err := transport.RoundTrip(req)
				require.NoError(t, err)
			}
			for name, want := range tt.want {
				assert.Equal(t, append(want, want...), base.keys(name), name)
			}
		})
	}
}

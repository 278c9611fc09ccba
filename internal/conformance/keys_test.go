package conformance_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

func TestK1_MissingKeyIsRejectedWhereItIsRequired(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	p := requireProblem(t, send(t, s.URL, call{body: "B"}), 400, "idempotency_key_missing")
	assert.False(t, p.Retryable)
	assert.Nil(t, p.SafeNewKey)
	assert.Zero(t, s.Runs())
}

func TestK2_OptionalKeyMissingRunsUnprotected(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{policy: idempotency.Policy{Key: idempotency.KeyOptional}})
	for range 2 {
		resp := send(t, s.URL, call{body: "B"})
		assert.Equal(t, 201, resp.Status)
		assert.Equal(t, "ignored", resp.Header.Get("Idempotency-Status"))
		assert.Empty(t, resp.Header.Get("Idempotent-Replayed"))
	}
	assert.Equal(t, 2, s.Runs())
}

func TestK3_K6_K8_K9_K10_K11_F64_F65_F66_MalformedKeyIsRejectedBeforeTheStore(t *testing.T) {
	t.Parallel()
	st := &countingStore{Store: setup{}.openStore(t)}
	s := newService(t, setup{store: st})
	tests := []struct {
		name  string
		lines []string
	}{
		{"K3 empty value", []string{""}},
		{"K3 blank value", []string{"   "}},
		{"K3 quoted empty", []string{`""`}},
		{"K6 unterminated quote", []string{`"abc`}},
		{"K6 illegal escape", []string{`"a\bc"`}},
		{"K6 text after the closing quote", []string{`"abc"def`}},
		{"K6 quote inside a bare key", []string{`ab"c`}},
		{"K8 two equal lines", []string{"abc", "abc"}},
		{"K8 two different lines", []string{"abc", "def"}},
		{"K9 bare list", []string{"abc,def"}},
		{"K9 quoted list", []string{`"abc", "def"`}},
		{"K10 256 characters", []string{strings.Repeat("k", 256)}},
		{"K10 256 quoted characters", []string{`"` + strings.Repeat("k", 256) + `"`}},
		{"K11 tab inside", []string{"a\tc"}},
		{"K11 non-ASCII", []string{"cl\xc3\xa9"}},
		{"K11 invalid UTF-8", []string{"a\xffb"}},
		{"K11 non-ASCII, quoted", []string{"\"cl\xc3\xa9\""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			resp := send(t, s.URL, call{header: http.Header{"Idempotency-Key": test.lines}})
			requireProblem(t, resp, 400, "idempotency_key_invalid")
			assert.Equal(t, "rejected", resp.Header.Get("Idempotency-Status"))
		})
	}
	assert.Zero(t, s.Runs())
	assert.Zero(t, st.calls.Load(), "calls to the store")
}

// Go's client refuses to send these, so they go over a plain socket.
func TestK11_F63_F64_ControlCharactersOnTheWire(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	for name, field := range map[string]string{
		"NUL":             "a\x00b",
		"control":         "a\x01b",
		"delete":          "a\x7fb",
		"folded line":     "a\r\n b",
		"carriage return": "a\rb",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.Server.Listener.Addr().String())
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			_, err = fmt.Fprintf(conn, "POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"+
				"Connection: close\r\nIdempotency-Key: %s\r\n\r\nB", field)
			require.NoError(t, err)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, resp.Body)
			assert.Equal(t, 400, resp.StatusCode)
		})
	}
	assert.Zero(t, s.Runs())
}

func TestK11_BracesAndGlobsNeverReachRedis(t *testing.T) {
	t.Parallel()
	srv := shared.Server(t)
	ns := namespaceOf(t)
	s := newService(t, setup{namespace: ns})
	for _, key := range []string{"{other}:k", "*", "a?[b]", ns + ":{x}"} {
		resp := send(t, s.URL, call{key: key, body: "B"})
		requireExecuted(t, resp)
	}
	assert.Equal(t, 4, s.Runs())
	names := srv.Keys(ns + ":*")
	assert.Len(t, names, 4)
	for _, name := range names {
		assert.Regexp(t, `^[\w-]+:\{[0-9a-f]{64}\}$`, name)
	}
}

func TestK4_K7_K12_F66_SpellingsOfOneKeyAreOneIdentity(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, first, second string }{
		{"K4 bare, then quoted", "abc-1", `"abc-1"`},
		{"K4 quoted, then bare", `"abc-1"`, "abc-1"},
		{"K4 escapes are undone", `"a\"b\\c"`, `"a\"b\\c";x`},
		{"K7 parameters do not count", `"k";a=1`, `"k";b=?0;c`},
		{"K7 nor does their absence", `"k";a=1`, "k"},
		{"K12 spaces around", "  abc ", "abc"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, setup{})
			first := send(t, s.URL, call{key: test.first})
			second := send(t, s.URL, call{key: test.second})
			requireExecuted(t, first)
			requireReplay(t, first, second)
			assert.Equal(t, 1, s.Runs())
		})
	}
}

func TestK10_255CharactersAreAccepted(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	long := strings.Repeat("k", 255)
	first := send(t, s.URL, call{key: long})
	requireExecuted(t, first)
	requireReplay(t, first, send(t, s.URL, call{key: `"` + long + `"`}))
}

func TestK13_KeysAreCaseSensitive(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	requireExecuted(t, send(t, s.URL, call{key: "abc"}))
	requireExecuted(t, send(t, s.URL, call{key: "ABC"}))
	assert.Equal(t, 2, s.Runs())
}

func TestK17_SafeMethodsPassThrough(t *testing.T) {
	t.Parallel()
	srv := shared.Server(t)
	ns := namespaceOf(t)
	s := newService(t, setup{namespace: ns, pattern: "/orders"})
	key := newKey()
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "TRACE"} {
		for range 2 {
			resp := send(t, s.URL, call{method: method, key: key})
			assert.Equal(t, 201, resp.Status)
			assert.Empty(t, resp.Header.Get("Idempotent-Replayed"))
			assert.Equal(t, "ignored", resp.Header.Get("Idempotency-Status"))
		}
	}
	assert.Equal(t, 8, s.Runs())
	assert.Empty(t, srv.Keys(ns+":*"))
}

func TestK18_OtherMethodsAreProtectedLikePOST(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"PUT", "PATCH", "DELETE"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			s := newService(t, setup{pattern: method + " /orders"})
			key := newKey()
			first := send(t, s.URL, call{method: method, key: key, body: "B"})
			requireExecuted(t, first)
			requireReplay(t, first, send(t, s.URL, call{method: method, key: key, body: "B"}))
			requireProblem(t, send(t, s.URL, call{method: method, key: key, body: "B'"}), 422, "idempotency_key_reused")
			assert.Equal(t, 1, s.Runs())
		})
	}
}

func TestK19_HeaderNamesAndAliases(t *testing.T) {
	t.Parallel()
	custom := newService(t, setup{http: []idemhttp.Option{idemhttp.GlobalScope(), idemhttp.KeyHeader("X-Request-Key")}})
	send2 := func(s *service, h http.Header) response { return send(t, s.URL, call{header: h}) }
	first := send2(custom, http.Header{"X-Request-Key": {"a"}, "Idempotency-Key": {"b"}})
	requireExecuted(t, first)
	requireReplay(t, first, send2(custom, http.Header{"X-Request-Key": {"a"}, "Idempotency-Key": {"c"}}))
	requireProblem(t, send2(custom, http.Header{"Idempotency-Key": {"a"}}), 400, "idempotency_key_missing")

	both := newService(t, setup{http: []idemhttp.Option{
		idemhttp.GlobalScope(), idemhttp.KeyHeader("Idempotency-Key", "X-Request-Key"),
	}})
	first = send2(both, http.Header{"X-Request-Key": {"a"}})
	requireExecuted(t, first)
	requireReplay(t, first, send2(both, http.Header{"Idempotency-Key": {`"a"`}}))
	requireReplay(t, first, send2(both, http.Header{"Idempotency-Key": {`"a"`}, "X-Request-Key": {"a"}}))
	requireProblem(t, send2(both, http.Header{"Idempotency-Key": {"a"}, "X-Request-Key": {"b"}}), 400, "idempotency_key_invalid")
	assert.Equal(t, 1, both.Runs())
}

func TestStrictKeysAcceptTheQuotedFormOnly(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{http: []idemhttp.Option{idemhttp.GlobalScope(), idemhttp.QuotedKeysOnly()}})
	requireProblem(t, send(t, s.URL, call{key: "abc"}), 400, "idempotency_key_invalid")
	requireExecuted(t, send(t, s.URL, call{key: `"abc"`}))
}

package idemhttp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
)

// sketch is a request in short, for comparing two.
type sketch struct {
	method, target, contentType, encoding, body string
}

func (s sketch) fingerprint(t *testing.T) store.Fingerprint {
	t.Helper()
	r := httptest.NewRequest(s.method, s.target, strings.NewReader(s.body))
	if s.contentType != "" {
		r.Header.Set("Content-Type", s.contentType)
	}
	if s.encoding != "" {
		r.Header.Set("Content-Encoding", s.encoding)
	}
	body, err := readBody(httptest.NewRecorder(), r, 1<<20)
	require.NoError(t, err)
	return fingerprinter{algorithm: rawFingerprint}.of(r, body)
}

func TestF_SameOrDifferentRequest(t *testing.T) {
	t.Parallel()
	base := sketch{method: "POST", target: "/v1/orders/1?a=1&b=2", contentType: "application/json", body: `{"n":1}`}
	with := func(change func(*sketch)) sketch {
		s := base
		change(&s)
		return s
	}
	tests := []struct {
		name  string
		other sketch
		same  bool
	}{
		{"itself", base, true},
		{"F1 other body", with(func(s *sketch) { s.body = `{"n":2}` }), false},
		{"F9 body reindented", with(func(s *sketch) { s.body = `{"n": 1}` }), false},
		{"no body", with(func(s *sketch) { s.body = "" }), false},
		{"F5 other path value", with(func(s *sketch) { s.target = "/v1/orders/2?a=1&b=2" }), false},
		{"path escaped otherwise", with(func(s *sketch) { s.target = "/v1%2Forders/1?a=1&b=2" }), false},
		{"F6 other query value", with(func(s *sketch) { s.target = "/v1/orders/1?a=1&b=3" }), false},
		{"F6 query in another order", with(func(s *sketch) { s.target = "/v1/orders/1?b=2&a=1" }), true},
		{"query value escaped otherwise", with(func(s *sketch) { s.target = "/v1/orders/1?a=%31&b=2" }), false},
		{"one pair more", with(func(s *sketch) { s.target = "/v1/orders/1?a=1&b=2&b=2" }), false},
		{"no query", with(func(s *sketch) { s.target = "/v1/orders/1" }), false},
		{"F7 other method", with(func(s *sketch) { s.method = "PUT" }), false},
		{"F21 other media type", with(func(s *sketch) { s.contentType = "text/plain" }), false},
		{"F21 no media type", with(func(s *sketch) { s.contentType = "" }), false},
		{"F21 media type in capitals", with(func(s *sketch) { s.contentType = "Application/JSON" }), true},
		{"F21 a charset added", with(func(s *sketch) { s.contentType = "application/json; charset=utf-8" }), false},
		{"other coding", with(func(s *sketch) { s.encoding = "gzip" }), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.same, base.fingerprint(t).Equal(tt.other.fingerprint(t)))
		})
	}
}

func TestF_EqualAndUnequalPairs(t *testing.T) {
	t.Parallel()
	post := func(target, contentType, encoding string) sketch {
		return sketch{"POST", target, contentType, encoding, "x"}
	}
	tests := []struct {
		name string
		a, b sketch
		same bool
	}{
		{"equal names in another order", post("/?a=1&a=2", "", ""), post("/?a=2&a=1", "", ""), false},
		{"equal names among others", post("/?a=1&b=0&a=2", "", ""), post("/?a=1&a=2&b=0", "", ""), true},
		{"names are compared decoded", post("/?%61=1&a=2", "", ""), post("/?a=2&%61=1", "", ""), false},
		{"unparsable query counts as sent", post("/?b=%zz&a=1", "", ""), post("/?a=1&b=%zz", "", ""), false},
		{"unparsable query is itself", post("/?b=%zz&a=1", "", ""), post("/?b=%zz&a=1", "", ""), true},
		{"empty and missing value", post("/?a", "", ""), post("/?a=", "", ""), false},
		{"parameters in another order", post("/", "a/b;x=1;y=2", ""), post("/", "a/b; Y=2; X=1", ""), true},
		{"parameter values keep their case", post("/", "a/b;x=u", ""), post("/", "a/b;x=U", ""), false},
		{"unparsable type counts as sent", post("/", "a/b;;=", ""), post("/", "A/b;;=", ""), false},
		{"F16 multipart boundary", post("/", "multipart/form-data; boundary=a", ""), post("/", "multipart/form-data; boundary=b", ""), false},
		{"codings ignore case and spaces", post("/", "", "GZIP , br"), post("/", "", "gzip,br"), true},
		{"codings keep their order", post("/", "", "gzip,br"), post("/", "", "br,gzip"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.same, tt.a.fingerprint(t).Equal(tt.b.fingerprint(t)))
		})
	}
}

func TestF23_TheAlgorithmDoesNotDrift(t *testing.T) {
	t.Parallel()
	s := sketch{"POST", "/v1/a%2Fb?z=1&a=%20&a=2", `Text/Plain; b="2"; a=1`, "gzip", "body\x00"}
	got := s.fingerprint(t)
	assert.Equal(t, "http/1", got.Algorithm)
	assert.Equal(t, goldenFingerprint, hex.EncodeToString(got.Sum[:]),
		"a change of what is hashed needs a new algorithm name")
}

const goldenFingerprint = "526049a71181e454056bde6d7cab4144ee6ca4dba475652f35006575def7562d"

func TestF17_TheWholeBodyIsHashed(t *testing.T) {
	t.Parallel()
	const size = 10 << 20
	body := bytes.Repeat([]byte("a"), size)
	sum := func(body []byte) store.Fingerprint {
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		read, err := readBody(httptest.NewRecorder(), r, size)
		require.NoError(t, err)
		require.Equal(t, body, read)
		return fingerprinter{algorithm: rawFingerprint}.of(r, read)
	}
	first := sum(body)
	body[size-1] = 'b'
	assert.NotEqual(t, first, sum(body))
}

// untouchable is a body that must not be read.
type untouchable struct{ t *testing.T }

func (u untouchable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestF18_BodyLimit(t *testing.T) {
	t.Parallel()
	const limit = 100
	read := func(body io.Reader, announced int64) ([]byte, error) {
		r := httptest.NewRequest("POST", "/", body)
		r.ContentLength = announced
		got, err := readBody(httptest.NewRecorder(), r, limit)
		return got, err
	}
	full := strings.Repeat("x", limit)
	t.Run("exactly at the limit", func(t *testing.T) {
		got, err := read(strings.NewReader(full), limit)
		require.NoError(t, err)
		assert.Equal(t, full, string(got))
	})
	t.Run("one byte over, not announced", func(t *testing.T) {
		got, err := read(strings.NewReader(full+"x"), -1)
		require.ErrorIs(t, err, errBodyTooLarge)
		assert.Nil(t, got)
	})
	t.Run("announced over the limit is not read", func(t *testing.T) {
		_, err := read(untouchable{t}, limit+1)
		require.ErrorIs(t, err, errBodyTooLarge)
	})
	t.Run("no body", func(t *testing.T) {
		for _, body := range []io.ReadCloser{nil, http.NoBody} {
			r := httptest.NewRequest("POST", "/", nil)
			r.Body = body
			got, err := readBody(httptest.NewRecorder(), r, limit)
			require.NoError(t, err)
			assert.Empty(t, got)
		}
	})
}

func TestF20_CutBodyIsUnreadable(t *testing.T) {
	t.Parallel()
	cut := errors.New("connection cut")
	r := httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(cut)))
	body, err := readBody(httptest.NewRecorder(), r, 100)
	require.ErrorIs(t, err, errBodyUnreadable)
	require.ErrorIs(t, err, cut)
	require.NotErrorIs(t, err, errBodyTooLarge)
	assert.Nil(t, body)
}

func TestReadBodyMemoryFollowsTheBodyNotTheLimit(t *testing.T) {
	r := httptest.NewRequest("POST", "/", strings.NewReader("small"))
	r.ContentLength = 64 << 20 // announced, never sent
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Body = io.NopCloser(strings.NewReader("small"))
			if _, err := readBody(httptest.NewRecorder(), r, 1<<40); err != nil {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	assert.Less(t, allocated, int64(64<<10))
}

func FuzzFingerprint(f *testing.F) {
	f.Add("POST", "/a", "a=1&b=2", "application/json", "gzip", "{}", "x", "y")
	f.Add("PUT", "/a%2fb", "a=%zz", "text/plain;a=b", "", "", "", "a=1")
	f.Fuzz(func(t *testing.T, method, path, query, contentType, encoding, body, extra, more string) {
		type input struct{ method, path, query, contentType, encoding, body string }
		sum := func(in input) store.Fingerprint {
			r := &http.Request{
				Method: in.method,
				URL:    &url.URL{Path: in.path, RawQuery: in.query},
				Header: http.Header{"Content-Type": {in.contentType}, "Content-Encoding": {in.encoding}},
			}
			return fingerprinter{algorithm: rawFingerprint}.of(r, []byte(in.body))
		}
		base := input{method, path, query, contentType, encoding, body}
		first := sum(base)
		require.Equal(t, first, sum(base), "deterministic")
		if extra == "" {
			return
		}
		change := func(apply func(*input)) input {
			in := base
			apply(&in)
			return in
		}
		require.NotEqual(t, first, sum(change(func(in *input) { in.method += extra })), "method")
		require.NotEqual(t, first, sum(change(func(in *input) { in.path += extra })), "path")
		require.NotEqual(t, first, sum(change(func(in *input) { in.body += extra })), "body")
		require.NotEqual(t, first, sum(change(func(in *input) { in.query += "&" + extra })), "query")
		if shorter, ok := strings.CutSuffix(method, extra); ok {
			moved := change(func(in *input) {
				in.method = shorter
				in.path = extra + in.path
			})
			require.NotEqual(t, first, sum(moved), "moved from method to path")
		}
		a, b := "a"+url.QueryEscape(extra)+"=1", "b"+url.QueryEscape(more)+"=2"
		forth := sum(change(func(in *input) { in.query = a + "&" + b }))
		back := sum(change(func(in *input) { in.query = b + "&" + a }))
		require.Equal(t, forth, back, "the order of different names does not matter")
		same := "a=" + url.QueryEscape(extra) + "&a=" + url.QueryEscape(extra+"x")
		swapped := "a=" + url.QueryEscape(extra+"x") + "&a=" + url.QueryEscape(extra)
		forth = sum(change(func(in *input) { in.query = same }))
		back = sum(change(func(in *input) { in.query = swapped }))
		require.NotEqual(t, forth, back, "the order of equal names does")
	})
}

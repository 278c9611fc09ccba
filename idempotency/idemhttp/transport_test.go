package idemhttp_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// upstream is a base transport that keeps what it was given, and answers what
// the test says for each try in turn; the last answer is for all further ones.
type upstream struct {
	answers []func(*http.Request) (*http.Response, error)

	mu     sync.Mutex
	sent   []*http.Request
	bodies []string
	times  []time.Time
}

func (u *upstream) RoundTrip(req *http.Request) (*http.Response, error) {
	body := ""
	if req.Body != nil {
		data, err := io.ReadAll(req.Body)
		_ = req.Body.Close()
		if err != nil {
			return nil, err
		}
		body = string(data)
	}
	u.mu.Lock()
	n := len(u.sent)
	u.sent = append(u.sent, req)
	u.bodies = append(u.bodies, body)
	u.times = append(u.times, time.Now())
	u.mu.Unlock()
	if len(u.answers) == 0 {
		return created(req)
	}
	return u.answers[min(n, len(u.answers)-1)](req)
}

// keys returns the values of a field over all tries.
func (u *upstream) keys(name string) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var keys []string
	for _, req := range u.sent {
		for spelling, values := range req.Header {
			if strings.EqualFold(spelling, name) {
				keys = append(keys, values...)
			}
		}
	}
	return keys
}

// answered returns an answer with header lines "Name: value".
func answered(status int, lines ...string) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		h := make(http.Header)
		for _, line := range lines {
			name, value, _ := strings.Cut(line, ": ")
			h.Add(name, value)
		}
		return &http.Response{
			StatusCode: status, Header: h, Request: req,
			Body: io.NopCloser(strings.NewReader("answer " + strconv.Itoa(status))),
		}, nil
	}
}

func created(req *http.Request) (*http.Response, error) {
	return answered(201, "Idempotency-Status: executed")(req)
}

var errCut = errors.New("connection cut")

func cut(*http.Request) (*http.Response, error) { return nil, errCut }

func newTransport(t *testing.T, base http.RoundTripper, opts ...idemhttp.TransportOption) *idemhttp.Transport {
	t.Helper()
	transport, err := idemhttp.NewTransport(base, opts...)
	require.NoError(t, err)
	return transport
}

func TestTransportSendsAKeyWithWhatMayChangeSomething(t *testing.T) {
	t.Parallel()
	tests := []struct {
		method string
		keyed  bool
	}{
		{"POST", true}, {"PATCH", true}, {"PUT", true}, {"DELETE", true}, {"LOCK", true},
		{"GET", false}, {"", false}, {"HEAD", false}, {"OPTIONS", false}, {"TRACE", false},
	}
	for _, tt := range tests {
		t.Run("method "+tt.method, func(t *testing.T) {
			t.Parallel()
			base := &upstream{}
			req := clientRequest(t, "POST", "http://service/", "body")
			req.Method = tt.method
			resp, err := newTransport(t, base).RoundTrip(req)
			require.NoError(t, err)
			assert.Equal(t, 201, resp.StatusCode)
			if !tt.keyed {
				assert.Empty(t, base.keys("Idempotency-Key"))
				assert.Same(t, req, base.sent[0], "handed on as it is")
				return
			}
			require.Len(t, base.keys("Idempotency-Key"), 1)
			assert.Regexp(t, uuid4, base.keys("Idempotency-Key")[0])
		})
	}
}

func TestTransportDoesNotRetryWhatIsSentWithoutKey(t *testing.T) {
	t.Parallel()
	base := &upstream{answers: []func(*http.Request) (*http.Response, error){cut}}
	_, err := newTransport(t, base).RoundTrip(clientRequest(t, "GET", "http://service/", ""))
	assert.Equal(t, errCut, err)
	assert.Len(t, base.sent, 1)
}

func TestTransportTakesTheKeyFrom(t *testing.T) {
	t.Parallel()
	function := idemhttp.SendKeyFrom(func(r *http.Request) (string, error) { return "of " + r.URL.Path, nil })
	tests := []struct {
		name    string
		header  http.Header
		context string
		opts    []idemhttp.TransportOption
		field   string
		want    string // "" is a fresh one
	}{
		{name: "a fresh draw"},
		{name: "its header", header: http.Header{"Idempotency-Key": {"mine"}}, want: "mine"},
		{name: "its header before context and function", header: http.Header{"Idempotency-Key": {"mine"}}, context: "ctx", opts: []idemhttp.TransportOption{function}, want: "mine"},
		{name: "its header in another spelling", header: http.Header{"idempotency-key": {"mine"}}, want: "mine"},
		{name: "its header, whatever it is", header: http.Header{"Idempotency-Key": {"a,b"}}, want: "a,b"},
		{name: "its context before the function", context: "ctx", opts: []idemhttp.TransportOption{function}, want: "ctx"},
		{name: "its context, quoted where it must be", context: "a b", want: `"a b"`},
		{name: "the function, quoted on demand", context: "", header: nil, opts: []idemhttp.TransportOption{function, idemhttp.SendQuotedKeys()}, want: `"of /p"`},
		{name: "its context, quoted on demand", context: "ctx", opts: []idemhttp.TransportOption{idemhttp.SendQuotedKeys()}, want: `"ctx"`},
		{name: "an entry without values counts as none", header: http.Header{"Idempotency-Key": nil}},
		{name: "an empty value counts as none", header: http.Header{"Idempotency-Key": {""}}, context: "ctx", want: "ctx"},
		{name: "blank values in two spellings", header: http.Header{"Idempotency-Key": {"", " "}, "idempotency-key": {""}}},
		{name: "another field", context: "ctx", opts: []idemhttp.TransportOption{idemhttp.SendKeyIn("x-request-key")}, field: "X-Request-Key", want: "ctx"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			base := &upstream{}
			req := clientRequest(t, "POST", "http://service/p", "")
			if tt.header != nil {
				req.Header = tt.header
			}
			if tt.context != "" {
				req = req.WithContext(idemhttp.WithKey(t.Context(), tt.context))
			}
			_, err := newTransport(t, base, tt.opts...).RoundTrip(req)
			require.NoError(t, err)
			if tt.field == "" {
				tt.field = "Idempotency-Key"
			}
			require.Len(t, base.keys(tt.field), 1, "one field line")
			if tt.want == "" {
				assert.Regexp(t, uuid4, base.keys(tt.field)[0])
				return
			}
			assert.Equal(t, tt.want, base.keys(tt.field)[0])
		})
	}
}

// closeNoter is a body that notes its closing.
type closeNoter struct {
	io.Reader
	closed bool
}

func (c *closeNoter) Close() error { c.closed = true; return nil }

func TestTransportSendsNothingWithoutAKey(t *testing.T) {
	t.Parallel()
	errNone := errors.New("none")
	tests := []struct {
		name    string
		context string
		draw    func(*http.Request) (string, error)
		says    string
	}{
		{name: "the function fails", draw: func(*http.Request) (string, error) { return "", errNone }, says: "SendKeyFrom: none"},
		{name: "the function gives none", draw: func(*http.Request) (string, error) { return "", nil }, says: "empty"},
		{name: "too long", context: strings.Repeat("secret", 50), says: "more than 255"},
		{name: "not ASCII", context: "secret-ü", says: "printable ASCII"},
		{name: "a line break", context: "secret\r\nX: y", says: "printable ASCII"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			base := &upstream{}
			var opts []idemhttp.TransportOption
			if tt.draw != nil {
				opts = append(opts, idemhttp.SendKeyFrom(tt.draw))
			}
			body := &closeNoter{Reader: strings.NewReader("body")}
			req := clientRequest(t, "POST", "http://service/", "")
			req.Body = body
			if tt.context != "" {
				req = req.WithContext(idemhttp.WithKey(t.Context(), tt.context))
			}
			_, err := newTransport(t, base, opts...).RoundTrip(req)
			require.ErrorContains(t, err, tt.says)
			assert.NotContains(t, err.Error(), "secret", "a key is in no error")
			assert.Empty(t, base.sent)
			assert.True(t, body.closed, "a RoundTripper closes the body in any case")
		})
	}
}

func TestTransportLeavesTheRequestAsItIs(t *testing.T) {
	t.Parallel()
	base := &upstream{answers: []func(*http.Request) (*http.Response, error){cut, created}}
	req := clientRequest(t, "POST", "http://service/", "body")
	req.GetBody = nil
	req.ContentLength = -1
	req.Header = http.Header{"Idempotency-Key": {""}, "X-Mine": {"1"}}
	before := *req
	body := req.Body
	_, err := newTransport(t, base).RoundTrip(req)
	require.NoError(t, err)
	require.Len(t, base.sent, 2)
	assert.Equal(t, http.Header{"Idempotency-Key": {""}, "X-Mine": {"1"}}, req.Header)
	assert.Nil(t, req.GetBody)
	assert.Equal(t, body, req.Body)
	assert.Equal(t, before.ContentLength, req.ContentLength)
	for _, sent := range base.sent {
		assert.NotSame(t, req, sent)
		assert.Equal(t, "1", sent.Header.Get("X-Mine"))
	}
}

// A request without header map comes from code that does not use http.Client.
func TestTransportTakesARequestWithoutHeader(t *testing.T) {
	t.Parallel()
	base := &upstream{}
	req := clientRequest(t, "POST", "http://service/", "")
	req.Header = nil
	_, err := newTransport(t, base).RoundTrip(req)
	require.NoError(t, err)
	assert.Regexp(t, uuid4, base.keys("Idempotency-Key")[0])
	assert.Nil(t, req.Header)
}

func TestTransportConcurrentRequestsHaveTheirOwnKeys(t *testing.T) {
	t.Parallel()
	const requests = 64
	var seen sync.Map // key → tries
	base := roundTripper(func(req *http.Request) (*http.Response, error) {
		_, _ = io.Copy(io.Discard, req.Body)
		_, again := seen.LoadOrStore(req.Header.Get("Idempotency-Key"), req.URL.Path)
		if !again {
			return nil, errCut
		}
		return created(req)
	})
	transport := newTransport(t, base, idemhttp.Backoff(time.Millisecond, time.Millisecond))
	var group sync.WaitGroup
	for n := range requests {
		group.Go(func() {
			req := clientRequest(t, "POST", "http://service/"+strconv.Itoa(n), "body")
			resp, err := transport.RoundTrip(req)
			if assert.NoError(t, err) {
				assert.Equal(t, 201, resp.StatusCode)
			}
		})
	}
	group.Wait()
	paths := make(map[string]bool)
	seen.Range(func(_, path any) bool { paths[path.(string)] = true; return true })
	assert.Len(t, paths, requests, "each key belongs to one request")
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestTransportKeepsTheKeyOverARedirect(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusTemporaryRedirect, http.StatusPermanentRedirect, http.StatusSeeOther} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var seen []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				seen = append(seen, r.Method+" "+r.Header.Get("Idempotency-Key"))
				mu.Unlock()
				if r.URL.Path == "/old" {
					http.Redirect(w, r, "/new", status)
				}
			}))
			defer server.Close()
			client := &http.Client{Transport: newTransport(t, server.Client().Transport)}
			resp, err := client.Do(clientRequest(t, "POST", server.URL+"/old", "body"))
			require.NoError(t, err)
			_ = resp.Body.Close()
			require.Len(t, seen, 2)
			if status == http.StatusSeeOther {
				assert.Equal(t, "GET ", seen[1], "a GET has no key")
				return
			}
			assert.Equal(t, seen[0], seen[1])
		})
	}
}

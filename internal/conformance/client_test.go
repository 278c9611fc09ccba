package conformance_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// call is a request to a service. The zero call is a POST without key.
type call struct {
	method string
	key    string // the raw field value; "" sends none
	tenant string // "" is P1
	body   string
	header http.Header
}

// response is an answer, read to its end.
type response struct {
	Status  int
	Header  http.Header
	Trailer http.Header
	Body    string
}

var keys atomic.Int64

// newKey returns a fresh key.
func newKey() string { return "key-" + strconv.FormatInt(keys.Add(1), 10) }

// send sends a call on a connection of its own and reads the answer.
func send(t *testing.T, url string, c call) response {
	t.Helper()
	resp, err := trySend(t, url, c)
	require.NoError(t, err)
	return resp
}

func trySend(t *testing.T, url string, c call) (response, error) {
	t.Helper()
	req := newRequest(t, url, c)
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	client := &http.Client{
		Transport:     transport,
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return response{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return response{Status: resp.StatusCode, Header: resp.Header, Trailer: resp.Trailer, Body: string(body)}, err
}

func newRequest(t *testing.T, url string, c call) *http.Request {
	t.Helper()
	if c.method == "" {
		c.method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(t.Context(), c.method, url, strings.NewReader(c.body))
	require.NoError(t, err)
	maps.Copy(req.Header, c.header)
	if c.key != "" {
		req.Header.Set("Idempotency-Key", c.key)
	}
	if c.tenant != "" {
		req.Header.Set("X-Tenant", c.tenant)
	}
	return req
}

// problem is the body of a refusal.
type problem struct {
	Type       string `json:"type"`
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Code       string `json:"code"`
	Retryable  bool   `json:"retryable"`
	SafeNewKey *bool  `json:"safe_new_key"`
}

// requireProblem asserts that the answer is a problem of that status and code.
func requireProblem(t *testing.T, r response, status int, code string) problem {
	t.Helper()
	require.Equal(t, status, r.Status, r.Body)
	require.Equal(t, "application/problem+json", r.Header.Get("Content-Type"), r.Body)
	var p problem
	require.NoError(t, json.Unmarshal([]byte(r.Body), &p))
	assert.Equal(t, code, p.Code)
	assert.Equal(t, status, p.Status)
	assert.Contains(t, p.Type, "#"+code, "a link to what the code means")
	assert.Empty(t, r.Header.Get("Idempotent-Replayed"), "a problem is no replay")
	return p
}

// requireReplay asserts that the second answer is a replay of the first.
func requireReplay(t *testing.T, first, second response) {
	t.Helper()
	require.Equal(t, "true", second.Header.Get("Idempotent-Replayed"), "%d %s", second.Status, second.Body)
	assert.Equal(t, "replayed", second.Header.Get("Idempotency-Status"))
	assert.Equal(t, first.Status, second.Status)
	assert.Equal(t, first.Body, second.Body)
	for _, name := range []string{
		"Content-Type", "Content-Encoding", "Content-Language", "Content-Location",
		"Content-Disposition", "Location", "Etag", "Last-Modified", "Link",
	} {
		assert.Equal(t, first.Header[name], second.Header[name], name)
	}
	assert.Equal(t, first.Trailer, second.Trailer)
	assert.Empty(t, first.Header.Get("Idempotent-Replayed"))
}

// requireExecuted asserts that the answer is a recorded first one.
func requireExecuted(t *testing.T, r response) {
	t.Helper()
	require.Equal(t, "executed", r.Header.Get("Idempotency-Status"), "%d %s", r.Status, r.Body)
	require.Empty(t, r.Header.Get("Idempotent-Replayed"))
}

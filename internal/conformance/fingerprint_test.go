package conformance_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

func TestF1_F3_OtherBodyAfterCompletion(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	key := newKey()
	first := send(t, s.URL, call{key: key, body: `{"card":"canary-4711"}`})
	other := send(t, s.URL, call{key: key, body: "B'"})
	p := requireProblem(t, other, 422, "idempotency_key_reused")
	assert.True(t, *p.SafeNewKey)
	assert.False(t, p.Retryable)
	assert.Equal(t, "mismatch", other.Header.Get("Idempotency-Status"))
	for _, secret := range []string{"canary-4711", "run", key, "tenant"} {
		assert.NotContains(t, other.Body, secret, "nothing of the stored request, answer or caller")
	}
	assert.Empty(t, other.Header.Get("Location"))
	requireReplay(t, first, send(t, s.URL, call{key: key, body: `{"card":"canary-4711"}`}))
	assert.Equal(t, 1, s.Runs())
}

func TestF2_OtherBodyWhileRunningIsAMismatchNotAConflict(t *testing.T) {
	t.Parallel()
	handler, started, goOn := blocking(t)
	s := newService(t, setup{handler: handler})
	c := call{key: newKey(), body: "B"}
	first := background(t, s.URL, c)
	<-started
	requireProblem(t, send(t, s.URL, call{key: c.key, body: "B'"}), 422, "idempotency_key_reused")
	close(goOn)
	requireExecuted(t, <-first)
	assert.Equal(t, 1, s.Runs())
}

func TestF4_F7_OtherOperationIsIndependentOrAMismatch(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		options []idempotency.Option
		strict  bool
	}{
		{name: "default"},
		{name: "strict", options: []idempotency.Option{idempotency.StrictKeys()}, strict: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, setup{guard: test.options})
			for _, pattern := range []string{"POST /refunds", "PUT /orders"} {
				handler := s.counted(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, pattern) })
				require.NoError(t, s.MW.Handle(s.Mux, pattern, handler))
			}
			key := newKey()
			first := send(t, s.URL, call{key: key, body: "B"})
			route := send(t, s.Server.URL+"/refunds", call{key: key, body: "B"})
			method := send(t, s.URL, call{method: "PUT", key: key, body: "B"})
			requireExecuted(t, first)
			if test.strict {
				requireProblem(t, route, 422, "idempotency_key_reused")
				requireProblem(t, method, 422, "idempotency_key_reused")
				assert.Equal(t, 1, s.Runs())
				return
			}
			requireExecuted(t, route)
			requireExecuted(t, method)
			assert.Equal(t, "POST /refunds", route.Body)
			assert.Equal(t, "PUT /orders", method.Body)
			assert.Equal(t, 3, s.Runs())
		})
	}
}

func TestF5_OtherPathValueIsAMismatch(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{pattern: "POST /orders/{id}/refund"})
	key := newKey()
	requireExecuted(t, send(t, s.Server.URL+"/orders/1/refund", call{key: key, body: "B"}))
	requireProblem(t, send(t, s.Server.URL+"/orders/2/refund", call{key: key, body: "B"}), 422, "idempotency_key_reused")
	assert.Equal(t, 1, s.Runs())
}

func TestF6_F9_F10_F13_F21_F74_WhatIsTheSameRequest(t *testing.T) {
	t.Parallel()
	base := call{body: `{"a":1,"b":2}`, header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}}
	typed := func(contentType string) call {
		return call{body: base.body, header: http.Header{"Content-Type": {contentType}}}
	}
	tests := []struct {
		name   string
		query  string
		second call
		same   bool
	}{
		{"F6 query in another order", "?b=2&a=1", base, true},
		{"F6 other query value", "?a=1&b=3", base, false},
		{"F6 query missing", "", base, false},
		{"F9 members reordered", "?a=1&b=2", call{body: `{"b":2,"a":1}`, header: base.header}, false},
		{"F9 reindented", "?a=1&b=2", call{body: `{"a":1, "b":2}`, header: base.header}, false},
		{"F10 null is not absent", "?a=1&b=2", call{body: `{"a":1,"b":2,"c":null}`, header: base.header}, false},
		{"F21 other media type", "?a=1&b=2", typed("text/plain"), false},
		{"F21 other charset", "?a=1&b=2", typed("application/json; charset=latin1"), false},
		{"F21 case and spaces of the media type", "?a=1&b=2", typed("Application/JSON;charset=utf-8"), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, setup{})
			c := base
			c.key, test.second.key = newKey(), c.key
			test.second.key = c.key
			first := send(t, s.URL+"?a=1&b=2", c)
			second := send(t, s.URL+test.query, test.second)
			if test.same {
				requireReplay(t, first, second)
			} else {
				requireProblem(t, second, 422, "idempotency_key_reused")
			}
			assert.Equal(t, 1, s.Runs())
		})
	}
	t.Run("F13 composed and decomposed", func(t *testing.T) {
		t.Parallel()
		s := newService(t, setup{})
		key := newKey()
		requireExecuted(t, send(t, s.URL, call{key: key, body: "caf\u00e9"}))
		requireProblem(t, send(t, s.URL, call{key: key, body: "cafe\u0301"}), 422, "idempotency_key_reused")
	})
}

func TestF16_MultipartWithANewBoundaryIsAnotherRequest(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	form := func(boundary string) call {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		require.NoError(t, w.SetBoundary(boundary))
		require.NoError(t, w.WriteField("amount", "1999"))
		require.NoError(t, w.Close())
		return call{key: "multipart", body: body.String(), header: http.Header{"Content-Type": {w.FormDataContentType()}}}
	}
	first := send(t, s.URL, form("first"))
	requireExecuted(t, first)
	requireReplay(t, first, send(t, s.URL, form("first")))
	requireProblem(t, send(t, s.URL, form("second")), 422, "idempotency_key_reused")
}

func TestF17_TheWholeBodyCounts(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{policy: idempotency.Policy{MaxRequestBody: 11 << 20}})
	key, large := newKey(), strings.Repeat("x", 10<<20)
	requireExecuted(t, send(t, s.URL, call{key: key, body: large + "a"}))
	requireProblem(t, send(t, s.URL, call{key: key, body: large + "b"}), 422, "idempotency_key_reused")
	assert.Equal(t, 1, s.Runs())
}

func TestF18_BodyOverTheLimitLeavesTheKeyUnused(t *testing.T) {
	t.Parallel()
	srv := shared.Server(t)
	ns := namespaceOf(t)
	s := newService(t, setup{namespace: ns, policy: idempotency.Policy{MaxRequestBody: 100}})
	key := newKey()
	for name, chunked := range map[string]bool{"announced": false, "chunked": true} {
		t.Run(name, func(t *testing.T) {
			req := newRequest(t, s.URL, call{key: key, body: strings.Repeat("x", 101)})
			if chunked {
				req.ContentLength = -1
			}
			resp, err := http.DefaultTransport.RoundTrip(req)
			require.NoError(t, err)
			defer func() { _ = resp.Body.Close() }()
			body, _ := io.ReadAll(resp.Body)
			requireProblem(t, response{Status: resp.StatusCode, Header: resp.Header, Body: string(body)},
				413, "request_body_too_large")
		})
	}
	assert.Empty(t, srv.Keys(ns+":*"))
	assert.Zero(t, s.Runs())
	requireExecuted(t, send(t, s.URL, call{key: key, body: strings.Repeat("x", 100)}))
}

func TestF20_CutBodyClaimsNothing(t *testing.T) {
	t.Parallel()
	srv := shared.Server(t)
	ns := namespaceOf(t)
	s := newService(t, setup{namespace: ns})
	key := newKey()
	tests := []struct{ name, framing string }{
		{"shorter than announced", "Content-Length: 10\r\n\r\nhalf"},
		{"chunk cut short", "Transfer-Encoding: chunked\r\n\r\n5\r\nha"},
		{"malformed chunk", "Transfer-Encoding: chunked\r\n\r\nzz\r\nhalf\r\n0\r\n\r\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.Server.Listener.Addr().String())
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			_, err = fmt.Fprintf(conn, "POST /orders HTTP/1.1\r\nHost: x\r\nIdempotency-Key: %s\r\n%s", key, test.framing)
			require.NoError(t, err)
			require.NoError(t, conn.(*net.TCPConn).CloseWrite())
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			body, _ := io.ReadAll(resp.Body)
			requireProblem(t, response{Status: resp.StatusCode, Header: resp.Header, Body: string(body)},
				400, "request_body_unreadable")
		})
	}
	assert.Empty(t, srv.Keys(ns+":*"))
	assert.Zero(t, s.Runs())
	requireExecuted(t, send(t, s.URL, call{key: key, body: "whole body"}))
}

func TestF22_PayloadBindingSurvivesARelease(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }})
	key := newKey()
	send(t, s.URL, call{key: key, body: "B"})
	requireProblem(t, send(t, s.URL, call{key: key, body: "B'"}), 422, "idempotency_key_reused")
	assert.Equal(t, 503, send(t, s.URL, call{key: key, body: "B"}).Status)
	assert.Equal(t, 2, s.Runs())
}

func TestF22_PayloadBindingSurvivesAFailure(t *testing.T) {
	t.Parallel()
	var stack atomic.Value
	s := newService(t, setup{
		wrap:    recovering(&stack),
		policy:  idempotency.Policy{Orphan: idempotency.OrphanRerun},
		handler: func(http.ResponseWriter, *http.Request) { panicOfTheHandler() },
	})
	key := newKey()
	send(t, s.URL, call{key: key, body: "B"})
	requireProblem(t, send(t, s.URL, call{key: key, body: "B'"}), 422, "idempotency_key_reused")
	assert.Equal(t, 500, send(t, s.URL, call{key: key, body: "B"}).Status)
	assert.Equal(t, 2, s.Runs())
}

func TestF23_FingerprintSettingsMayDifferBetweenNodes(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	whole := newService(t, setup{namespace: ns})
	keyOnly := newService(t, setup{namespace: ns, policy: idempotency.Policy{Fingerprint: idempotency.FingerprintOff}})
	for name, order := range map[string][2]*service{
		"record by the whole request": {whole, keyOnly},
		"record by the key alone":     {keyOnly, whole},
	} {
		c := call{key: newKey(), body: "B"}
		first := send(t, order[0].URL, c)
		requireExecuted(t, first)
		requireReplay(t, first, send(t, order[1].URL, c))
		assert.Equal(t, 1, order[0].Runs(), name)
	}
	// The record's own algorithm decides, also where it says no.
	c := call{key: newKey(), body: "B"}
	requireExecuted(t, send(t, whole.URL, c))
	requireProblem(t, send(t, keyOnly.URL, call{key: c.key, body: "B'"}), 422, "idempotency_key_reused")
}

func TestF23_UnknownAlgorithmNeverRuns(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	s := newService(t, setup{namespace: ns})
	st := openRedis(t, shared.Server(t).Client(t), ns)
	key := newKey()
	_, err := st.Apply(t.Context(), store.NewID("tenant-", "POST /orders", key), store.Claim{
		Owner:       store.NewOwner(),
		Fingerprint: store.Fingerprint{Algorithm: "http/99", Sum: sha256.Sum256(nil)},
		Operation:   "POST /orders",
		Lease:       time.Second,
		Retention:   time.Minute,
	})
	require.NoError(t, err)
	requireProblem(t, send(t, s.URL, call{key: key, body: "B"}), 503, "record_unreadable")
	assert.Zero(t, s.Runs())
}

// background sends a call on a goroutine of its own.
func background(t *testing.T, url string, c call) <-chan response {
	t.Helper()
	answers := make(chan response, 1)
	go func() {
		resp, err := trySend(t, url, c)
		assert.NoError(t, err)
		answers <- resp
	}()
	return answers
}

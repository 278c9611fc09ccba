package conformance_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// An answer that depends on a field which the fingerprint leaves out is replayed to
// those who send another: to nobody but the caller himself, and not even to him where
// the route says that the field counts.
func TestF73_AnAnswerPoisonedByAHeaderStaysItsSendersOwn(t *testing.T) {
	t.Parallel()
	linkTo := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "https://"+r.Header.Get("X-Forwarded-Host")+"/pay")
	}
	from := func(host string) http.Header { return http.Header{"X-Forwarded-Host": {host}} }

	s := newService(t, setup{handler: linkTo})
	key := newKey()
	evil := send(t, s.URL, call{key: key, tenant: "mallory", body: "B", header: from("evil.example")})
	requireReplay(t, evil, send(t, s.URL, call{key: key, tenant: "mallory", body: "B", header: from("shop.example")}))
	victim := send(t, s.URL, call{key: key, tenant: "alice", body: "B", header: from("shop.example")})
	requireExecuted(t, victim)
	assert.Equal(t, "https://shop.example/pay", victim.Body)

	counts := newService(t, setup{handler: linkTo, policy: idempotency.Policy{FingerprintHeaders: []string{"X-Forwarded-Host"}}})
	send(t, counts.URL, call{key: key, body: "B", header: from("evil.example")})
	requireProblem(t, send(t, counts.URL, call{key: key, body: "B", header: from("shop.example")}), 422, "idempotency_key_reused")
}

// Framing is net/http's: what two parties could read in two ways it refuses, or reads
// as the RFC says, and the fingerprint is over what it has read.
func TestF85_AmbiguousFramingClaimsNothing(t *testing.T) {
	t.Parallel()
	srv := shared.Server(t)
	ns := namespaceOf(t)
	s := newService(t, setup{namespace: ns})
	for name, framing := range map[string]string{
		"two lengths":            "Content-Length: 1\r\nContent-Length: 2\r\n\r\nBB",
		"a list of lengths":      "Content-Length: 1, 2\r\n\r\nBB",
		"a length with a sign":   "Content-Length: +1\r\n\r\nB",
		"unknown coding":         "Transfer-Encoding: xchunked\r\n\r\n1\r\nB\r\n0\r\n\r\n",
		"two codings":            "Transfer-Encoding: chunked, identity\r\n\r\n1\r\nB\r\n0\r\n\r\n",
		"coding twice":           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nB\r\n0\r\n\r\n",
		"space before the colon": "Transfer-Encoding : chunked\r\n\r\n1\r\nB\r\n0\r\n\r\n",
		"chunk without a length": "Transfer-Encoding: chunked\r\n\r\n\r\nB\r\n0\r\n\r\n",
		"chunk of another size":  "Transfer-Encoding: chunked\r\n\r\n1\r\nBB\r\n0\r\n\r\n",
		"length in other digits": "Transfer-Encoding: chunked\r\n\r\n0x1\r\nB\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			status, _ := raw(t, s, newKey(), framing)
			assert.Contains(t, []int{400, 501}, status)
		})
	}
	assert.Zero(t, s.Runs())
	assert.Empty(t, srv.Keys(ns+":*"))
}

// A chunked body and a length that says otherwise: the chunks count (RFC 9112), for
// handler and fingerprint alike. A proxy in front that believes the length is a hole
// that nobody behind it can close.
func TestF85_LengthBesideChunksIsNotBelieved(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{handler: func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }})
	key := newKey()
	status, body := raw(t, s, key, "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nB\r\n0\r\n\r\n")
	assert.Equal(t, 200, status)
	assert.Equal(t, "B", body)
	again := send(t, s.URL, call{key: key, body: "B"})
	assert.Equal(t, "replayed", again.Header.Get("Idempotency-Status"))
	assert.Equal(t, 1, s.Runs())
}

// raw sends a request whose framing is given.
func raw(t *testing.T, s *service, key, framing string) (status int, body string) {
	t.Helper()
	return rawRequest(t, s, fmt.Sprintf("POST /orders HTTP/1.1\r\nHost: x\r\nIdempotency-Key: %s\r\n%s", key, framing))
}

// rawRequest sends a request as it is written here.
func rawRequest(t *testing.T, s *service, request string) (status int, body string) {
	t.Helper()
	conn := dial(t, s)
	_, err := io.WriteString(conn, request)
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	answers := bufio.NewReader(conn)
	resp, err := http.ReadResponse(answers, nil)
	require.NoError(t, err)
	text, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, string(text)
}

// Two memory stores know nothing of each other, which nothing can make up for: it is
// said at the first line that a user of it reads.
func TestF94_MemoryIsForOneProcess(t *testing.T) {
	t.Parallel()
	one, two := newService(t, setup{store: newMemory(t)}), newService(t, setup{store: newMemory(t)})
	c := call{key: newKey(), body: "B"}
	requireExecuted(t, send(t, one.URL, c))
	requireExecuted(t, send(t, two.URL, c))
	for file, words := range map[string]string{
		"../../store/memstore/doc.go": "FOR ONE PROCESS ONLY",
		"../../lock/memlock/doc.go":   "process",
	} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Contains(t, string(text), words)
	}
}

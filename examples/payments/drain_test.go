package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOneReadyLineAndNothingElseOnStdout(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, redis, log string
		signal           os.Signal
	}{
		{"embedded", "embedded", "text", syscall.SIGTERM},
		{"memory", "memory", "json", syscall.SIGINT},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			service := launch(t, "-redis", test.redis, "-log", test.log)
			assert.Equal(t, 200, service.send(t, get("", "/healthz")).status)
			assert.Equal(t, 500, service.send(t, post("acme", "k", "tok_panic")).status)
			require.NoError(t, service.process.Signal(test.signal))
			assert.Zero(t, service.exit(t), service.stderr.String())

			address := strings.TrimPrefix(service.url, "http://")
			assert.Equal(t, "READY http="+address+" grpc="+service.grpc+" store="+test.redis+"\n", service.stdout.String())
			assert.Contains(t, service.stderr.String(), "tok_panic", "logs go to stderr")
		})
	}
}

func TestLogOffKeepsStderrEmpty(t *testing.T) {
	t.Parallel()
	service := launch(t, "-redis", "redis://127.0.0.1:1", "-log", "off")
	assert.Equal(t, 503, service.send(t, get("", "/healthz")).status)
	require.NoError(t, service.process.Signal(syscall.SIGTERM))
	assert.Zero(t, service.exit(t))
	assert.Empty(t, service.stderr.String())
}

func TestExitStatusOfABadStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	for _, test := range []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"help", []string{"-help"}, 0, "-ledger"},
		{"bad flag", []string{"-nonsense"}, 2, "-nonsense"},
		{"bad URL", []string{"-redis", "ftp://h"}, 2, "-redis"},
		{"retention not longer than the lease", []string{"-lease", "2s", "-retention", "2s"}, 2, "Retention"},
		{"gRPC address", []string{"-grpc", "127.0.0.1"}, 2, "-grpc"},
		{"waiting for longer than may be over gRPC", []string{"-grpc-wait", "1h"}, 2, "-grpc-wait"},
		{"waiting for longer than may be", []string{"-wait", "1h"}, 2, "Wait"},
		{"port in use", []string{"-http", taken.Addr().String()}, 1, "address already in use"},
		{"ledger that is a folder", []string{"-http", "127.0.0.1:0", "-ledger", t.TempDir()}, 1, "ledger"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			service := launchRaw(t, test.args...)
			assert.Equal(t, test.status, service.exit(t))
			assert.Empty(t, service.stdout.String())
			assert.Contains(t, service.stderr.String(), test.says)
			if test.status != 0 {
				assert.Equal(t, 1, strings.Count(service.stderr.String(), "\n"), "one line: %s", service.stderr.String())
			}
		})
	}
}

// P6, F10: a draining instance finishes what runs and answers everything else,
// on kept-alive and on new connections, in a way that a client can retry on.
func TestDrainFinishesRunningRequestsAndRefusesNewOnes(t *testing.T) {
	t.Parallel()
	service := launch(t)
	recorded := post("acme", "done", "tok_visa")
	require.Equal(t, 201, service.send(t, recorded).status)
	running := service.sendRunning(t, post("acme", "running", "tok_slow_5s"))
	require.NoError(t, service.process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool {
		return service.send(t, get("", "/healthz")).status == 503
	}, 2*time.Second, 5*time.Millisecond)

	stranger := *service // it has no connection yet
	stranger.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for name, r := range map[string]request{
		"new":       post("acme", "new", "tok_visa"),
		"replay":    recorded,
		"duplicate": post("acme", "running", "tok_slow_5s"),
		"stranger":  post("", "", "tok_visa"),
		"keyless":   {"PATCH", "/v1/payments/pay_1", "acme", "", `{"description":""}`},
		"read":      get("acme", "/v1/payments"),
		"ledger":    get("acme", "/v1/ledger"),
		"health":    get("", "/healthz"),
		"nowhere":   get("", "/nowhere"),
	} {
		for _, from := range []*instance{service, &stranger} {
			got := from.send(t, r)
			assert.Equal(t, 503, got.status, name)
			assert.Equal(t, "draining", got.code(), name)
			assert.Equal(t, "1", got.header.Get("Retry-After"), name)
		}
	}
	got := receive(t, running)
	assert.Equal(t, 201, got.status, got.body)
	assert.Zero(t, service.exit(t), service.stderr.String())
}

// P7: at the limit the contexts of running requests end. Who heeds that still
// gets its answer out.
func TestDrainLimitEndsWithStatus1(t *testing.T) {
	t.Parallel()
	service := launch(t)
	heeding := service.sendRunning(t, post("acme", "slow", "tok_slow_60s"))
	deaf := service.sendRunning(t, post("acme", "deaf", "tok_stubborn_60s"))
	began := time.Now()
	require.NoError(t, service.process.Signal(syscall.SIGTERM))

	got := receive(t, heeding)
	assert.Equal(t, "interrupted", got.code(), "%+v", got)
	assert.Equal(t, 1, service.exit(t))
	assert.InDelta(t, drainLimit.Seconds(), time.Since(began).Seconds(), 2)
	assert.Contains(t, service.stderr.String(), "still running after 10s")
	assert.Zero(t, receive(t, deaf).status, "the connection was cut")
}

// A request that the guard does not know of yet, because its body is still
// arriving, is answered, too: nothing runs for it, and its client may retry.
func TestDrainWaitsForABodyThatIsStillArriving_P6(t *testing.T) {
	t.Parallel()
	service := launch(t, "-redis", "memory")
	health := func() int { return service.send(t, get("", "/healthz")).status }
	conn, err := net.Dial("tcp", strings.TrimPrefix(service.url, "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	body := `{"amount":1999,"currency":"EUR","source":"tok_visa"}`
	_, err = fmt.Fprintf(conn, "POST /v1/payments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_test_acme\r\n"+
		"Idempotency-Key: k\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:10])
	require.NoError(t, err)
	require.Equal(t, 200, health(), "the server has seen the request before")
	require.NoError(t, service.process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { return health() == 503 }, 5*time.Second, 10*time.Millisecond)
	time.Sleep(2 * lastWords) // longer than a server without requests takes to close
	assert.Equal(t, 503, health(), "the listener is still open")
	_, err = conn.Write([]byte(body[10:]))
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	assert.Equal(t, 503, resp.StatusCode)
	assert.Equal(t, "1", resp.Header.Get("Retry-After"))
	assert.Zero(t, service.exit(t))
}

// What waits to be released in a Redis that is down does not decide about the
// exit status: nothing was running.
func TestDrainWithRedisDownEndsWithStatus0(t *testing.T) {
	t.Parallel()
	service := launch(t, "-redis", "redis://127.0.0.1:1", "-lease", "2s")
	assert.Equal(t, 503, service.send(t, post("acme", "k", "tok_visa")).status)
	require.NoError(t, service.process.Signal(syscall.SIGTERM))
	assert.Zero(t, service.exit(t))
}

package main

import (
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var adminLine = regexp.MustCompile(`operator's page at (http://127\.0\.0\.1:\d+/)`)

// adminOf returns where the operator's page of a service is.
func adminOf(t *testing.T, service *instance) string {
	t.Helper()
	var said []string
	require.Eventually(t, func() bool { // it was written before the READY line, to another pipe
		said = adminLine.FindStringSubmatch(service.stderr.String())
		return said != nil
	}, 5*time.Second, time.Millisecond)
	return said[1]
}

// operate sends a request to the operator's page under a name of the host.
func operate(t *testing.T, method, url, host, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	if host != "" {
		req.Host = host
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(got)
}

func TestOperatorsPageIsOffByDefault(t *testing.T) {
	t.Parallel()
	service := launch(t, "-log", "text")
	require.NoError(t, service.process.Signal(syscall.SIGTERM))
	assert.Zero(t, service.exit(t))
	assert.NotContains(t, service.stderr.String(), "operator's page")
}

func TestOperatorsPageOnAListenerOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, redis := range map[string]string{"embedded": "embedded", "memory": "memory"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := launch(t, "-redis", redis, "-log", "text", "-admin", "127.0.0.1:0")
			admin := adminOf(t, service)
			require.Equal(t, 504, service.send(t, post("acme", "k", "tok_ambiguous")).status)
			status, list := operate(t, "GET", admin+"records?state=unknown", "", "")
			assert.Equal(t, 200, status)
			assert.Contains(t, list, `"operation":"POST /v1/payments"`)
			assert.Equal(t, 404, service.send(t, get("acme", "/records")).status, "not on the public one")

			id := regexp.MustCompile(`"id":"([0-9a-f]{64})"`).FindStringSubmatch(list)
			require.NotNil(t, id)
			status, _ = operate(t, "POST", admin+"records/"+id[1]+"/settle", "", `{"decision":"release","token":1,"by":"b","reason":"r"}`)
			assert.Equal(t, 403, status, "read-only without -admin-settle")

			for host, want := range map[string]int{
				"localhost:1": 200, "[::1]:1": 200, "[::1]": 200, "127.0.0.1": 200,
				"evil.example": 421, "evil.example:80": 421, "[evil.example]": 421,
			} {
				status, _ = operate(t, "GET", admin+"records", host, "")
				assert.Equal(t, want, status, host)
			}
			assert.Equal(t, 1, strings.Count(service.stdout.String(), "\n"), "one READY line")
			require.NoError(t, service.process.Signal(syscall.SIGTERM))
			assert.Zero(t, service.exit(t), service.stderr.String())
		})
	}
}

// Nobody opens the page to the world without being told.
func TestOperatorsPageBeyondThisMachineIsAWarning(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, address string
		args          []string
		level, says   string
	}{
		{"loopback", "127.0.0.1:0", []string{"-admin-settle"}, "INFO", "operator's page"},
		{"all addresses", "0.0.0.0:0", nil, "WARN", "whoever reaches it may read recorded answers"},
		{"all addresses, settling", ":0", []string{"-admin-settle"}, "WARN", "whoever reaches it may read recorded answers and settle operations"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			service := launch(t, append([]string{"-log", "text", "-admin", test.address}, test.args...)...)
			require.NoError(t, service.process.Signal(syscall.SIGTERM))
			require.Zero(t, service.exit(t))
			said := regexp.MustCompile(`(?m)^.*operator's page at http://.*$`).FindString(service.stderr.String())
			assert.Contains(t, said, "level="+test.level)
			assert.Contains(t, said, test.says)
			assert.Equal(t, test.level == "WARN", strings.Contains(said, "whoever"))
		})
	}
}

// The page stays while requests are drained: that is when one may want to look.
func TestOperatorsPageIsClosedLast(t *testing.T) {
	t.Parallel()
	service := launch(t, "-log", "text", "-admin", "127.0.0.1:0", "-admin-settle")
	admin := adminOf(t, service)
	running := service.sendRunning(t, post("acme", "k", "tok_slow_2s"))
	require.NoError(t, service.process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { return service.send(t, get("", "/healthz")).status == 503 }, 5*time.Second, 5*time.Millisecond)
	status, list := operate(t, "GET", admin+"records?state=running", "", "")
	assert.Equal(t, 200, status)
	assert.Contains(t, list, `"state":"running"`)
	assert.Equal(t, 201, receive(t, running).status)
	assert.Zero(t, service.exit(t), service.stderr.String())
}

func TestBadAdminFlags(t *testing.T) {
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
		{"address without a port", []string{"-admin", "localhost"}, 2, "-admin"},
		{"settling without a page", []string{"-admin-settle"}, 2, "-admin-settle"},
		{"port in use", []string{"-http", "127.0.0.1:0", "-grpc", "", "-admin", taken.Addr().String()}, 1, "address already in use"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			service := launchRaw(t, test.args...)
			assert.Equal(t, test.status, service.exit(t))
			assert.Empty(t, service.stdout.String())
			assert.Contains(t, service.stderr.String(), test.says)
			assert.Equal(t, 1, strings.Count(service.stderr.String(), "\n"), service.stderr.String())
		})
	}
}

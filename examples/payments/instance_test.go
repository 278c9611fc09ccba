package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// instance is the service in a process of its own, and a client of it.
type instance struct {
	process *os.Process
	url     string
	grpc    string // address; "off" without one
	stdout  *output
	stderr  *output
	done    chan struct{}
	status  int // once done is closed
	client  *http.Client
}

var readyLine = regexp.MustCompile(`^READY http=(127\.0\.0\.1:\d+) grpc=(127\.0\.0\.1:\d+|off) store=(\w+)\n$`)

// launch starts the service on free ports and waits until it is ready.
func launch(t *testing.T, args ...string) *instance {
	t.Helper()
	i := launchRaw(t, append([]string{"-http", "127.0.0.1:0", "-grpc", "127.0.0.1:0", "-redis", "memory", "-log", "off"}, args...)...)
	select {
	case <-i.stdout.line:
	case <-i.done:
		require.Fail(t, "the service ended before it was ready", i.stderr.String())
	case <-time.After(30 * time.Second):
		require.Fail(t, "the service is not ready", i.stderr.String())
	}
	ready := readyLine.FindStringSubmatch(i.stdout.String())
	require.NotNil(t, ready, "%q", i.stdout.String())
	i.url, i.grpc = "http://"+ready[1], ready[2]
	return i
}

func launchRaw(t *testing.T, args ...string) *instance {
	t.Helper()
	i := &instance{
		stdout: newOutput(),
		stderr: newOutput(),
		done:   make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{}, Timeout: 30 * time.Second},
	}
	cmd := exec.Command(built.binary(t), args...)
	cmd.Stdout, cmd.Stderr = i.stdout, i.stderr
	require.NoError(t, cmd.Start())
	i.process = cmd.Process
	go func() {
		defer close(i.done)
		_ = cmd.Wait()
		i.status = cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		i.client.CloseIdleConnections()
		_ = i.process.Kill()
		<-i.done
	})
	return i
}

// exit waits for the end of the process and returns its status.
func (i *instance) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-i.done:
	case <-time.After(30 * time.Second):
		require.Fail(t, "the service does not end", i.stderr.String())
	}
	return i.status
}

// output collects what a process prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	once sync.Once
	line chan struct{} // closed with the first whole line
}

func newOutput() *output { return &output{line: make(chan struct{})} }

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if bytes.IndexByte(p, '\n') >= 0 {
		defer o.once.Do(func() { close(o.line) })
	}
	return o.text.Write(p)
}

// String returns all of it so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// request is one HTTP request of a tenant.
type request struct {
	method, path, tenant, key, body string
}

// post is a payment by a test source.
func post(tenant, key, source string) request {
	return request{"POST", "/v1/payments", tenant, key, `{"amount":1999,"currency":"EUR","source":"` + source + `"}`}
}

func get(tenant, path string) request { return request{method: "GET", path: path, tenant: tenant} }

// response is what came back.
type response struct {
	status int
	header http.Header
	body   string
}

func (i *instance) send(t *testing.T, r request) response {
	t.Helper()
	got, err := i.try(t, r)
	require.NoError(t, err)
	return got
}

func (i *instance) try(t *testing.T, r request) (response, error) {
	t.Helper()
	return i.tryWith(t, t.Context(), r)
}

func (i *instance) tryWith(t *testing.T, ctx context.Context, r request) (response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, r.method, i.url+r.path, strings.NewReader(r.body))
	require.NoError(t, err)
	if r.tenant != "" {
		req.Header.Set("Authorization", "Bearer sk_test_"+r.tenant)
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	resp, err := i.client.Do(req)
	if err != nil {
		return response{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.Header, string(body)}, err
}

// sendRunning sends a request and returns once it runs on the instance, with a
// channel that gets its answer. It sends the request twice: the one that is told
// "in progress" proves that the other runs.
func (i *instance) sendRunning(t *testing.T, r request) <-chan response {
	t.Helper()
	answers := make(chan response, 2)
	for range 2 {
		go func() {
			got, err := i.try(t, r)
			if err != nil {
				got.body = err.Error()
			}
			answers <- got
		}()
	}
	select {
	case first := <-answers:
		require.Equal(t, "in_progress", first.code(), "%+v", first)
	case <-time.After(10 * time.Second):
		require.Fail(t, "the duplicate gets no answer")
	}
	return answers
}

// charges counts a tenant's charges, as the whole shared ledger has them.
func (i *instance) charges(t *testing.T, tenant string) int {
	t.Helper()
	n := 0
	for _, e := range i.ledger(t, tenant) {
		if e.Kind == kindCharge {
			n++
		}
	}
	return n
}

func (i *instance) ledger(t *testing.T, tenant string) []entry {
	t.Helper()
	got := i.send(t, get(tenant, "/v1/ledger"))
	require.Equal(t, http.StatusOK, got.status, got.body)
	var body struct {
		Entries []entry `json:"entries"`
	}
	require.NoError(t, json.Unmarshal([]byte(got.body), &body))
	require.NotNil(t, body.Entries)
	return body.Entries
}

// code returns the machine-readable code of a problem.
func (r response) code() string {
	var p problem
	if r.header.Get("Content-Type") != "application/problem+json" ||
		json.Unmarshal([]byte(r.body), &p) != nil {
		return ""
	}
	return p.Code
}

func (r response) replayed() bool { return r.header.Get("Idempotent-Replayed") == "true" }

func (r response) payment(t *testing.T) payment {
	t.Helper()
	var p payment
	require.NoError(t, json.Unmarshal([]byte(r.body), &p))
	return p
}

// assertReplayOf checks that r is the recorded answer first, to the byte.
func (r response) assertReplayOf(t *testing.T, first response, fields ...string) {
	t.Helper()
	assert.True(t, r.replayed(), "%+v", r)
	assert.Equal(t, first.status, r.status)
	assert.Equal(t, first.body, r.body)
	for _, name := range append(fields, "Content-Type", "Location", "ETag") {
		assert.Equal(t, first.header.Values(name), r.header.Values(name), name)
	}
}

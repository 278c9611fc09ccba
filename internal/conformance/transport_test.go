package conformance_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// cutter stands between a client and a service, and cuts connections.
type cutter struct {
	URL      string
	service  string
	listener net.Listener
	answers  atomic.Int64 // how many answers get lost on their way, at their first byte
	requests atomic.Int64 // how many requests get lost before they reach the service
	group    sync.WaitGroup
}

func newCutter(t *testing.T, s *service) *cutter {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := s.Server.Listener.Addr().String()
	c := &cutter{URL: strings.Replace(s.URL, address, listener.Addr().String(), 1), service: address, listener: listener}
	ctx, cancel := context.WithCancel(context.Background())
	c.group.Go(func() { c.accept(ctx) })
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		c.group.Wait()
	})
	return c
}

func (c *cutter) accept(ctx context.Context) {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.group.Go(func() { c.link(ctx, conn) })
	}
}

// link carries bytes until one side closes, the test ends, or they get lost.
func (c *cutter) link(ctx context.Context, client net.Conn) {
	server, err := net.Dial("tcp", c.service)
	if err != nil {
		_ = client.Close()
		return
	}
	cut := func() { _, _ = client.Close(), server.Close() }
	defer context.AfterFunc(ctx, cut)()
	var up sync.WaitGroup
	up.Go(func() {
		defer cut()
		carry(server, client, &c.requests)
	})
	defer up.Wait()
	defer cut()
	carry(client, server, &c.answers)
}

// carry copies, and loses what comes while the counter is above 0.
func carry(to io.Writer, from io.Reader, lose *atomic.Int64) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && lose.Add(-1) >= 0 {
			return
		}
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// client is an application's, with our transport; keys are those that went out.
type client struct {
	*http.Client

	base *http.Transport
	mu   sync.Mutex
	keys []string
}

func newClient(t *testing.T, opts ...idemhttp.TransportOption) *client {
	t.Helper()
	c := &client{base: &http.Transport{}}
	opts = append([]idemhttp.TransportOption{idemhttp.Backoff(time.Millisecond, 10*time.Millisecond)}, opts...)
	transport, err := idemhttp.NewTransport(noting{c, c.base}, opts...)
	require.NoError(t, err)
	c.Client = &http.Client{Transport: transport, Timeout: 30 * time.Second}
	t.Cleanup(c.base.CloseIdleConnections)
	return c
}

// noting notes the keys of what goes out.
type noting struct {
	c    *client
	base http.RoundTripper
}

func (n noting) RoundTrip(req *http.Request) (*http.Response, error) {
	n.c.mu.Lock()
	for name, values := range req.Header { // in lower case with a request without a body
		if strings.EqualFold(name, "Idempotency-Key") {
			n.c.keys = append(n.c.keys, values...)
		}
	}
	n.c.mu.Unlock()
	return n.base.RoundTrip(req)
}

// sent returns the keys of all tries.
func (c *client) sent() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.keys...)
}

// do sends a call and reads the answer, which keeps its body.
func (c *client) do(t *testing.T, url string, with call) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(newRequest(t, url, with))
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	return resp, string(body)
}

func requireOneKey(t *testing.T, keys []string, tries int) {
	t.Helper()
	require.Len(t, keys, tries)
	for _, key := range keys {
		assert.NotEmpty(t, key)
		assert.Equal(t, keys[0], key)
	}
}

func TestX8_LostAnswersAreAskedForAgainUnderTheSameKey(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name              string
		answers, requests int64
		mark              string
	}{
		{"nothing gets lost", 0, 0, "executed"},
		{"an answer", 1, 0, "replayed"},
		{"three answers", 3, 0, "replayed"},
		{"requests", 0, 2, "executed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, setup{})
			line := newCutter(t, s)
			line.answers.Store(tt.answers)
			line.requests.Store(tt.requests)
			c := newClient(t)
			resp, body := c.do(t, line.URL, call{body: "order"})
			assert.Equal(t, 201, resp.StatusCode)
			assert.Equal(t, "{\"run\": 1}\n", body)
			assert.Equal(t, tt.mark, resp.Header.Get("Idempotency-Status"))
			require.NoError(t, idemhttp.CheckResponse(resp))
			assert.Equal(t, 1, s.Runs())
			requireOneKey(t, c.sent(), int(1+tt.answers+tt.requests))
		})
	}
}

// When the tries are used up, the caller goes on later under the key that it
// stored, and still nothing runs twice.
func TestX8_StoredKeyGoesOnWhereTheTriesEnded(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	line := newCutter(t, s)
	line.answers.Store(2)
	req := newRequest(t, line.URL, call{body: "order"})
	stored := idemhttp.SetKey(req)
	_, err := newClient(t, idemhttp.MaxAttempts(2)).Do(req)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), stored)
	assert.Equal(t, 1, s.Runs())

	resp, body := newClient(t).do(t, line.URL, call{key: stored, body: "order"}) // after a restart
	assert.Equal(t, "replayed", resp.Header.Get("Idempotency-Status"))
	assert.Equal(t, "{\"run\": 1}\n", body)
	assert.Equal(t, 1, s.Runs())
}

func TestX8_ServerErrorBeforeTheEffectIsTriedAgain(t *testing.T) {
	t.Parallel()
	var runs atomic.Int64
	s := newService(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
		if runs.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}})
	c := newClient(t)
	resp, _ := c.do(t, s.URL, call{})
	assert.Equal(t, 201, resp.StatusCode)
	assert.Equal(t, "executed", resp.Header.Get("Idempotency-Status"))
	assert.Equal(t, 2, s.Runs())
	requireOneKey(t, c.sent(), 2)
}

// The duplicate comes back after as long as Retry-After says, not earlier, and
// gets the answer of the request that was running.
func TestX8_RunningDuplicateWaitsAsRetryAfterSays(t *testing.T) {
	t.Parallel()
	handler, started, goOn := blocking(t)
	s := newService(t, setup{handler: handler})
	key := newKey()
	first := make(chan response, 1)
	go func() {
		r, err := trySend(t, s.URL, call{key: key})
		assert.NoError(t, err)
		first <- r
	}()
	<-started

	var retries []idemhttp.Retry
	c := newClient(t, idemhttp.OnRetry(func(_ context.Context, r idemhttp.Retry) {
		if retries = append(retries, r); len(retries) == 1 {
			close(goOn)
		}
	}))
	begin := time.Now()
	resp, body := c.do(t, s.URL, call{key: key})
	assert.GreaterOrEqual(t, time.Since(begin), time.Second)
	assert.Equal(t, "replayed", resp.Header.Get("Idempotency-Status"))
	assert.Equal(t, (<-first).Body, body)
	assert.Equal(t, 1, s.Runs())
	requireOneKey(t, c.sent(), 2)
	require.Len(t, retries, 1)
	assert.Equal(t, 409, retries[0].Status)
	assert.Equal(t, "conflict", retries[0].Mark)
	assert.GreaterOrEqual(t, retries[0].Wait, time.Second)
}

// A reused key is no matter of retries; it is the one refusal that says: a new
// key is safe. Under that the request runs.
func TestX8_ReusedKeyIsNotRetriedAndANewOneIsSafe(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	c := newClient(t)
	key := newKey()
	c.do(t, s.URL, call{key: key, body: "order"})
	resp, _ := c.do(t, s.URL, call{key: key, body: "another order"})
	refused := requireResponseError(t, resp, idempotency.ErrKeyReused)
	assert.Equal(t, idemhttp.OutcomeReused, refused.Outcome)
	assert.True(t, refused.SafeNewKey)
	assert.False(t, refused.Retryable)
	requireOneKey(t, c.sent(), 2)

	resp, _ = c.do(t, s.URL, call{body: "another order"})
	assert.Equal(t, "executed", resp.Header.Get("Idempotency-Status"))
	assert.Equal(t, 2, s.Runs())
}

// Under a new key it might happen twice: the client stops and says so.
func TestX8_UnknownOutcomeIsNotRetriedAndANewKeyIsNotSafe(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{handler: func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, idempotency.MarkEffect(r.Context()))
		w.WriteHeader(http.StatusGatewayTimeout)
	}})
	c := newClient(t)
	resp, _ := c.do(t, s.URL, call{})
	refused := requireResponseError(t, resp, idempotency.ErrOutcomeUnknown)
	assert.Equal(t, idemhttp.OutcomeUnknown, refused.Outcome)
	assert.False(t, refused.SafeNewKey)
	assert.False(t, refused.Retryable)
	assert.Equal(t, 1, s.Runs())
	requireOneKey(t, c.sent(), 2) // the 504, and then the unknown outcome
}

// A refusal of the service itself is its answer, first and replayed.
func TestX8_RefusalOfTheServiceIsAnAnswer(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusPaymentRequired)
		_, _ = io.WriteString(w, `{"code":"card_declined","status":402}`)
	}})
	c := newClient(t)
	for _, mark := range []string{"executed", "replayed"} {
		resp, body := c.do(t, s.URL, call{key: "declined"})
		require.NoError(t, idemhttp.CheckResponse(resp))
		assert.Equal(t, 402, resp.StatusCode)
		assert.Equal(t, mark, resp.Header.Get("Idempotency-Status"))
		assert.Contains(t, body, "card_declined")
	}
	assert.Len(t, c.sent(), 2)
}

func requireResponseError(t *testing.T, resp *http.Response, code idempotency.Code) *idemhttp.ResponseError {
	t.Helper()
	err := idemhttp.CheckResponse(resp)
	require.ErrorIs(t, err, code)
	refused, ok := errors.AsType[*idemhttp.ResponseError](err)
	require.True(t, ok)
	assert.Equal(t, resp.StatusCode, refused.Status)
	return refused
}

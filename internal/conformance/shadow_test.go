package conformance_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// shadowPolicy is what the tests are under.
func shadowPolicy() idempotency.Policy { return idempotency.Policy{Key: idempotency.KeyShadow} }

// patient makes the counts independent of how busy the machine is.
func patient() []idempotency.Option {
	return []idempotency.Option{idempotency.WithShadowTimeout(10 * time.Second), idempotency.WithStoreTimeout(5 * time.Second)}
}

// wouldBe returns what was counted of an operation.
func wouldBe(g *idempotency.Guard, operation string) idempotency.ShadowStats {
	for _, s := range g.Stats() {
		if s.Operation == operation {
			return s.Shadow
		}
	}
	return idempotency.ShadowStats{}
}

// variety answers as the request asks for, in all the ways in which an answer can
// be written.
func variety(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Own", "kept")
	switch string(body) {
	case "nothing":
	case "no content":
		w.WriteHeader(http.StatusNoContent)
	case "guessed":
		_, _ = io.WriteString(w, "<html>")
		_, _ = io.WriteString(w, "rest")
	case "declared":
		w.Header().Set("Content-Length", "2")
		_, _ = io.WriteString(w, "ab")
	case "flushed":
		_, _ = io.WriteString(w, "<ht")
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "ml>")
	case "trailers":
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "4")
	case "hints":
		w.Header().Set("Link", "</a.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusAccepted)
	case "large":
		_, _ = io.WriteString(w, strings.Repeat("x", 3<<10))
	default:
		http.Error(w, string(body), http.StatusBadGateway)
	}
}

// The response in shadow is the one without protection, but for the mark; and what
// was recorded of it is what the handler answered.
func TestP10_Shadow_HTTPAnswersAreTheHandlersOwn(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, st store.Store) {
		s := newService(t, setup{store: st, guard: patient(), handler: variety, policy: shadowPolicy().Override(idempotency.Policy{MaxResponseBody: 2 << 10})})
		plain := httptest.NewServer(http.HandlerFunc(variety))
		t.Cleanup(plain.Close)
		bodies := []string{"nothing", "no content", "guessed", "declared", "flushed", "trailers", "hints", "large", "error"}
		first := make(map[string]response)
		for _, body := range bodies {
			c := call{key: "k-" + strings.ReplaceAll(body, " ", "-"), body: body}
			want := send(t, plain.URL+"/orders", c)
			for range 2 {
				got := send(t, s.URL, c)
				assert.Equal(t, "unprotected", got.Header.Get("Idempotency-Status"), body)
				got.Header.Del("Idempotency-Status")
				got.Header.Del("Date")
				want.Header.Del("Date")
				assert.Equal(t, want, got, body)
			}
			first[body] = want
		}
		assert.Equal(t, 2*len(bodies), s.Runs())
		assert.Equal(t, idempotency.ShadowStats{
			Executed: int64(len(bodies)) + 1, Replayed: int64(len(bodies)) - 2, // a 502 is released, so that the next one runs
			Refused: map[idempotency.Code]int64{idempotency.ErrResultUnavailable: 1},
		}, wouldBe(s.Guard, httpOperation))

		require.NoError(t, s.Guard.Override(httpOperation, idempotency.Policy{Key: idempotency.KeyRequired}))
		for _, body := range bodies[:len(bodies)-2] {
			requireReplay(t, first[body], send(t, s.URL, call{key: "k-" + strings.ReplaceAll(body, " ", "-"), body: body}))
		}
		requireProblem(t, send(t, s.URL, call{key: "k-large", body: "large"}), 409, "result_unavailable")
		assert.Equal(t, 2*len(bodies), s.Runs())
	})
}

func TestShadow_HTTPCountsWhatWouldHaveBeen(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, st store.Store) {
		s := newService(t, setup{store: st, guard: patient(), policy: shadowPolicy().Override(idempotency.Policy{MaxRequestBody: 100})})
		key := newKey()
		calls := []call{
			{key: key, body: "B"}, {key: key, body: "B"}, {key: key, body: "other"},
			{body: "B"}, {key: `"unterminated`, body: "B"}, {key: newKey(), tenant: "none", body: "B"},
			{key: newKey(), body: strings.Repeat("x", 101)},
		}
		for i, c := range calls {
			got := send(t, s.URL, c)
			assert.Equal(t, 201, got.Status)
			assert.Equal(t, fmt.Sprintf("{\"run\": %d}\n", i+1), got.Body)
			assert.Equal(t, []string{"unprotected"}, got.Header["Idempotency-Status"])
			assert.Equal(t, []string{"session=secret"}, got.Header["Set-Cookie"])
			assert.NotContains(t, got.Header, "Cache-Control")
		}
		assert.Equal(t, idempotency.ShadowStats{Executed: 1, Replayed: 1, Refused: map[idempotency.Code]int64{
			idempotency.ErrKeyReused: 1, idempotency.ErrKeyMissing: 1, idempotency.ErrKeyInvalid: 1,
			idempotency.ErrScopeMissing: 1, idempotency.ErrBodyTooLarge: 1,
		}}, wouldBe(s.Guard, httpOperation))
	})
}

// A body over the limit reaches the handler whole, and beyond the limit nobody has
// read it before: the client sends the rest only once the handler runs.
func TestShadow_HTTPDoesNotReadBeyondTheLimit(t *testing.T) {
	t.Parallel()
	const limit = 1000
	begun := make(chan struct{})
	s := newService(t, setup{
		guard:  patient(),
		policy: shadowPolicy().Override(idempotency.Policy{MaxRequestBody: limit}),
		handler: func(w http.ResponseWriter, r *http.Request) {
			close(begun)
			n, err := io.Copy(w, r.Body)
			assert.NoError(t, err)
			assert.Equal(t, int64(3*limit), n)
		},
	})
	body, into := io.Pipe()
	go func() {
		_, _ = io.WriteString(into, strings.Repeat("a", limit+1))
		<-begun
		_, _ = io.WriteString(into, strings.Repeat("b", 2*limit-1))
		_ = into.Close()
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, body)
	require.NoError(t, err)
	req.Header.Set("Idempotency-Key", newKey())
	resp, err := s.Server.Client().Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat("a", limit+1)+strings.Repeat("b", 2*limit-1), string(got))
	assert.Equal(t, map[idempotency.Code]int64{idempotency.ErrBodyTooLarge: 1}, wouldBe(s.Guard, httpOperation).Refused)
}

// Bytes go out as the handler flushes them: the client has the first before the
// handler writes the second.
func TestShadow_HTTPFlushesPass(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	s := newService(t, setup{guard: patient(), policy: shadowPolicy(), handler: func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		assert.NoError(t, http.NewResponseController(w).Flush())
		select {
		case <-goOn:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "second\n")
	}})
	c := call{key: newKey(), body: "B"}
	resp, err := s.Server.Client().Do(newRequest(t, s.URL, c))
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewReader(resp.Body)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "first\n", line)
	close(goOn)
	line, err = lines.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "second\n", line)
	require.Eventually(t, func() bool { return wouldBe(s.Guard, httpOperation).Executed == 1 }, 5*time.Second, time.Millisecond)

	require.NoError(t, s.Guard.Override(httpOperation, idempotency.Policy{Key: idempotency.KeyRequired}))
	assert.Equal(t, "first\nsecond\n", send(t, s.URL, c).Body)
	assert.Equal(t, 1, s.Runs())
}

func TestShadow_HTTPDuplicateRunsBesideTheFirst(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, st store.Store) {
		handler, started, goOn := blocking(t)
		s := newService(t, setup{store: st, guard: patient(), handler: handler, policy: shadowPolicy().Override(idempotency.Policy{Wait: time.Minute})})
		c := call{key: newKey(), body: "B"}
		first := background(t, s.URL, c)
		<-started
		second := background(t, s.URL, c)
		<-started
		close(goOn)
		assert.Equal(t, 201, (<-first).Status)
		assert.Equal(t, 201, (<-second).Status)
		require.Eventually(t, func() bool { return wouldBe(s.Guard, httpOperation).Executed == 1 }, 5*time.Second, time.Millisecond)
		assert.Equal(t, map[idempotency.Code]int64{idempotency.ErrInProgress: 1}, wouldBe(s.Guard, httpOperation).Refused)
	})
}

func TestShadow_HTTPHijackPasses(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{guard: patient(), policy: shadowPolicy(), handler: func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nown")
		_ = rw.Flush()
	}})
	assert.Equal(t, "own", send(t, s.URL, call{key: newKey(), body: "B"}).Body)
}

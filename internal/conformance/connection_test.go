package conformance_test

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store"
)

// abilities says what a handler's writer can do, and what comes of it.
func abilities(w http.ResponseWriter) map[string]string {
	is := map[string]string{}
	note := func(name string, ok bool) { is[name] = fmt.Sprint(ok) }
	_, ok := w.(http.Flusher)
	note("Flusher", ok)
	_, ok = w.(http.Hijacker)
	note("Hijacker", ok)
	_, ok = w.(io.ReaderFrom)
	note("ReaderFrom", ok)
	_, ok = w.(io.StringWriter)
	note("StringWriter", ok)
	_, ok = w.(http.CloseNotifier) //nolint:staticcheck // deprecated, and still in use
	note("CloseNotifier", ok)
	pusher, ok := w.(http.Pusher)
	note("Pusher", ok)
	if ok {
		is["Push"] = fmt.Sprint(pusher.Push("/style.css", nil))
	}
	control, soon := http.NewResponseController(w), time.Now().Add(time.Minute)
	is["SetReadDeadline"] = fmt.Sprint(control.SetReadDeadline(soon))
	is["SetWriteDeadline"] = fmt.Sprint(control.SetWriteDeadline(soon))
	is["EnableFullDuplex"] = fmt.Sprint(control.EnableFullDuplex())
	is["Flush"] = fmt.Sprint(control.Flush())
	return is
}

// hiding is a middleware outside whose writer can do nothing but the least.
func hiding(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
	})
}

func TestZ6_WriterCanDoWhatTheUnderlyingOneCan(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		for _, stream := range []idempotency.StreamRule{idempotency.StreamBuffer, idempotency.StreamPass} {
			for name, wrap := range map[string]func(http.Handler) http.Handler{"net/http's": nil, "a bare one": hiding} {
				t.Run(version+" "+string(stream)+" "+name, func(t *testing.T) {
					t.Parallel()
					var bare, protected map[string]string
					s := newService(t, setup{
						policy:  idempotency.Policy{Stream: stream},
						handler: func(w http.ResponseWriter, _ *http.Request) { protected = abilities(w) },
						wrap:    wrap,
					})
					s.Mux.HandleFunc("POST /bare", func(w http.ResponseWriter, _ *http.Request) { bare = abilities(w) })
					l := s.over(t, version)
					require.Equal(t, 200, l.ask(t, call{key: newKey()}).Status)
					l.URL = l.Server.URL + "/bare"
					require.Equal(t, 200, l.ask(t, call{}).Status)
					assert.Equal(t, bare, protected)
					assert.Equal(t, fmt.Sprint(wrap == nil), bare["Flusher"], "there is something to compare")
				})
			}
		}
	}
}

func TestZ6_CopiedFilesAreRecordedWhole(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("0123456789", 30_000)
	file := filepath.Join(t.TempDir(), "report.txt")
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			l := newService(t, setup{handler: func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("X-Do") == "serve" {
					http.ServeFile(w, r, file)
					return
				}
				f, err := os.Open(file)
				if !assert.NoError(t, err) {
					return
				}
				defer func() { _ = f.Close() }()
				n, err := io.Copy(w, f)
				assert.NoError(t, err)
				assert.EqualValues(t, len(content), n)
			}}).over(t, version)
			for _, do := range []string{"copy", "serve"} {
				c := call{key: newKey(), header: http.Header{"X-Do": {do}}}
				first := l.ask(t, c)
				requireExecuted(t, first)
				assert.Equal(t, content, first.Body)
				requireReplay(t, first, l.ask(t, c))
			}
			assert.Equal(t, 2, l.Runs())
		})
	}
}

// The answer is recorded before the deadline gets a chance to interrupt it.
func TestZ6_WriteDeadlineInterruptsTheAnswerAndNotTheRecord(t *testing.T) {
	t.Parallel()
	for _, version := range versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := newService(t, setup{handler: func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				assert.NoError(t, http.NewResponseController(w).SetWriteDeadline(time.Now().Add(-time.Second)))
				_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
			}})
			l := s.over(t, version)
			c := call{key: newKey(), body: "B"}
			resp, err := l.Client.Do(newRequest(t, l.URL, c))
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			require.Error(t, err, "the deadline is the connection's")
			s.untilRecorded(t, c) // over HTTP/2 the stream is reset while the handler runs
			assert.Len(t, send(t, s.URL, c).Body, 100_000)
			assert.Equal(t, 1, s.Runs())
		})
	}
}

func TestZ7_F56_HijackIsRefusedWhileTheAnswerIsRecorded(t *testing.T) {
	t.Parallel()
	var touched atomic.Bool
	s := newService(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
		_, _, err := http.NewResponseController(w).Hijack()
		assert.ErrorIs(t, err, idemhttp.ErrHijack)
		assert.ErrorIs(t, err, http.ErrNotSupported)
		assert.ErrorContains(t, err, "stream=pass permits it", "says what to do")
		if hijacker, ok := w.(http.Hijacker); assert.True(t, ok) {
			_, _, err = hijacker.Hijack()
			assert.ErrorIs(t, err, idemhttp.ErrHijack)
		}
		assert.False(t, touched.Load(), "nothing was sent")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusUpgradeRequired)
		_, _ = io.WriteString(w, "no upgrade")
	}})
	first, second := twice(t, s, call{})
	assert.Equal(t, 426, second.Status, "the handler's own answer")
	assert.Equal(t, "no upgrade", first.Body)

	// HTTP/2 has no connection to take over, with this library or without.
	l := newService(t, setup{policy: idempotency.Policy{Stream: idempotency.StreamPass},
		handler: func(w http.ResponseWriter, _ *http.Request) {
			_, _, err := http.NewResponseController(w).Hijack()
			assert.ErrorIs(t, err, http.ErrNotSupported)
			assert.NotErrorIs(t, err, idemhttp.ErrHijack)
		}}).over(t, http2)
	requireExecuted(t, l.ask(t, call{key: newKey()}))
}

// upgrade takes over the connection and echoes one line, if it may go on.
func upgrade(t *testing.T, goOn <-chan struct{}) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, rw, err := http.NewResponseController(w).Hijack()
		if !assert.NoError(t, err) {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		assert.NoError(t, rw.Flush())
		text, err := rw.ReadString('\n')
		assert.NoError(t, err)
		_, _ = io.WriteString(rw, "echo "+text)
		assert.NoError(t, rw.Flush())
		<-goOn
		_, err = w.Write([]byte("x"))
		assert.ErrorIs(t, err, http.ErrHijacked)
	}
}

// converse upgrades a connection and exchanges one line on it.
func converse(t *testing.T, s *service, c call) {
	t.Helper()
	conn := dial(t, s)
	req := newRequest(t, "http://service/orders", c)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	require.NoError(t, req.Write(conn))
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, req)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	require.Empty(t, resp.Header.Get("Idempotency-Status"), "the answer is the handler's own, to the byte")
	_, err = io.WriteString(conn, "ping\n")
	require.NoError(t, err)
	text, err := in.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "echo ping\n", text)
}

func TestZ7_UpgradeOnAPassedStreamWorksAndIsUnknown(t *testing.T) {
	t.Parallel()
	for _, orphan := range []idempotency.Orphan{idempotency.OrphanRefuse, idempotency.OrphanRerun} {
		t.Run(string(orphan), func(t *testing.T) {
			t.Parallel()
			goOn := make(chan struct{})
			ns := namespaceOf(t)
			s := newService(t, setup{
				namespace: ns,
				policy:    idempotency.Policy{Stream: idempotency.StreamPass, Orphan: orphan},
				handler:   upgrade(t, goOn),
			})
			c := call{key: newKey(), body: "B"}
			converse(t, s, c)
			requireProblem(t, send(t, s.URL, c), 409, "in_progress")
			close(goOn)
			if orphan == idempotency.OrphanRefuse {
				eventually(t, "the outcome is unknown", func() bool {
					return send(t, s.URL, c).Header.Get("Idempotency-Status") == "unknown"
				})
				assert.Equal(t, 1, s.Runs())
				return
			}
			records := openRedis(t, shared.Server(t).Client(t), ns)
			eventually(t, "the first attempt has ended", func() bool {
				return lookup(t, records, idOf(c.key)).State == store.Unknown
			})
			converse(t, s, c) // the policy says that it may run again
			assert.Equal(t, 2, s.Runs())
		})
	}
}

func TestZ7_SwitchedByAStatusIsUnknown(t *testing.T) {
	t.Parallel()
	for _, stream := range []idempotency.StreamRule{idempotency.StreamBuffer, idempotency.StreamPass} {
		s := newService(t, setup{
			policy: idempotency.Policy{Stream: stream},
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Connection", "Upgrade")
				w.Header().Set("Upgrade", "echo")
				w.WriteHeader(http.StatusSwitchingProtocols)
			},
		})
		c := call{key: newKey()}
		conn := dial(t, s)
		require.NoError(t, newRequest(t, "http://service/orders", c).Write(conn))
		status, err := bufio.NewReader(conn).ReadString('\n')
		require.NoError(t, err)
		assert.Contains(t, status, "101 Switching Protocols")
		requireProblem(t, send(t, s.URL, c), 409, "outcome_unknown")
	}
}

// What changes nothing, and what has no answer to keep, is let through with the
// server's own writer: web sockets begin with a GET.
func TestZ7_F56_UpgradeByGetAndConnectPassThrough(t *testing.T) {
	t.Parallel()
	for method, target := range map[string]string{http.MethodGet: "/tunnel", http.MethodConnect: "service:443"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			goOn := make(chan struct{})
			close(goOn)
			ns := namespaceOf(t)
			s := newService(t, setup{namespace: ns})
			protect, err := s.MW.Protect("tunnel")
			require.NoError(t, err)
			s.Server.Config.Handler = protect(upgrade(t, goOn))
			s.Server.Config.ErrorLog = log.New(io.Discard, "", 0) // the server itself complains of a late write
			for range 2 {
				conn := dial(t, s)
				_, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: service:443\r\nIdempotency-Key: k\r\n\r\nping\n",
					method, target)
				require.NoError(t, err)
				got, err := io.ReadAll(conn)
				require.NoError(t, err)
				assert.True(t, strings.HasPrefix(string(got), "HTTP/1.1 101 "), string(got))
				assert.True(t, strings.HasSuffix(string(got), "echo ping\n"), string(got))
			}
			assert.Empty(t, shared.Server(t).Keys(ns+":*"))
		})
	}
}

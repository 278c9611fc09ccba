package conformance_test

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// The ways in which clients reach a service.
const (
	http1 = "HTTP/1.1"
	http2 = "HTTP/2"             // over TLS
	h2c   = "HTTP/2 unencrypted" // with prior knowledge
)

func versions() []string { return []string{http1, http2, h2c} }

// line is a service as clients of one version of HTTP reach it, on connections
// that are kept.
type line struct {
	*service

	URL    string
	Server *httptest.Server
	Client *http.Client
	major  int
}

// over serves the routes of s to clients of a version.
func (s *service) over(t *testing.T, version string) *line {
	t.Helper()
	l := &line{service: s, Server: httptest.NewUnstartedServer(s.Server.Config.Handler), major: 2}
	l.Server.Config.ErrorLog = log.New(io.Discard, "", 0) // handlers panic, clients leave
	transport := &http.Transport{DisableCompression: true}
	switch version {
	case http1:
		l.major = 1
		l.Server.Start()
	case http2:
		l.Server.EnableHTTP2 = true
		l.Server.StartTLS()
		transport = l.Server.Client().Transport.(*http.Transport)
	case h2c:
		l.Server.Config.Protocols = unencryptedHTTP2()
		transport.Protocols = unencryptedHTTP2()
		l.Server.Start()
	}
	transport.ExpectContinueTimeout = 20 * time.Second
	// A small window, so that an answer can be interrupted in its middle.
	transport.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}
	l.Client = &http.Client{Transport: transport, Timeout: 30 * time.Second}
	l.URL = l.Server.URL + "/orders"
	t.Cleanup(func() {
		l.Client.CloseIdleConnections()
		l.Server.CloseClientConnections()
		l.Server.Close()
	})
	return l
}

func unencryptedHTTP2() *http.Protocols {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return protocols
}

// ask sends a call on a connection that may have served others.
func (l *line) ask(t *testing.T, c call) response {
	t.Helper()
	resp := l.open(t, newRequest(t, l.URL, c))
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return response{Status: resp.StatusCode, Header: resp.Header, Trailer: resp.Trailer, Body: string(body)}
}

// open sends a request and returns once the response's header is there.
func (l *line) open(t *testing.T, req *http.Request) *http.Response {
	t.Helper()
	resp, err := l.Client.Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	require.Equal(t, l.major, resp.ProtoMajor)
	return resp
}

// arrivals tells of each request that reaches a service, and by its context
// when the server noticed that its client is gone.
func arrivals(next http.Handler, arrived chan<- context.Context) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- r.Context()
		next.ServeHTTP(w, r)
	})
}

func TestZ8_F50_StreamResetInMidHandler(t *testing.T) {
	t.Parallel()
	for _, version := range []string{http2, h2c} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			handler, started, goOn := blocking(t)
			arrived := make(chan context.Context, 100)
			l := newService(t, setup{
				handler: handler,
				wrap:    func(next http.Handler) http.Handler { return arrivals(next, arrived) },
			}).over(t, version)
			c := call{key: newKey(), body: "B"}
			ctx, reset := context.WithCancel(t.Context())
			gone := make(chan error, 1)
			go func() {
				resp, err := l.Client.Do(newRequest(t, l.URL, c).WithContext(ctx))
				if err == nil {
					_ = resp.Body.Close()
				}
				gone <- err
			}()
			running, outside := <-started, <-arrived
			reset()
			require.ErrorIs(t, <-gone, context.Canceled)
			<-outside.Done() // the server has the reset
			require.NoError(t, running.Err(), "the handler goes on")
			close(goOn)
			eventually(t, "the answer is recorded", func() bool {
				return l.ask(t, c).Header.Get("Idempotency-Status") == "replayed"
			})
			assert.Equal(t, 1, l.Runs())
		})
	}
}

func TestZ9_F50_StreamResetInMidAnswer(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 900_000) // far more than the client's window
	for _, version := range []string{http2, h2c} {
		for _, stream := range []idempotency.StreamRule{idempotency.StreamBuffer, idempotency.StreamPass} {
			t.Run(version+" "+string(stream), func(t *testing.T) {
				t.Parallel()
				wrote := make(chan error, 1)
				l := newService(t, setup{
					policy: idempotency.Policy{Stream: stream},
					handler: func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Location", "/large/1")
						_, err := io.WriteString(w, large)
						wrote <- err
					},
				}).over(t, version)
				c := call{key: newKey(), body: "B"}
				ctx, reset := context.WithCancel(t.Context())
				resp := l.open(t, newRequest(t, l.URL, c).WithContext(ctx))
				_, err := io.ReadFull(resp.Body, make([]byte, 1000))
				require.NoError(t, err)
				reset()
				err = <-wrote
				if stream == idempotency.StreamPass {
					require.Error(t, err, "the handler hears of it")
					eventually(t, "it is recorded without body", func() bool {
						return l.ask(t, c).Header.Get("Idempotency-Status") == "unavailable"
					})
					assert.Equal(t, "/large/1", l.ask(t, c).Header.Get("Location"))
				} else {
					require.NoError(t, err)
					second := l.ask(t, c)
					assert.Equal(t, "replayed", second.Header.Get("Idempotency-Status"))
					assert.Equal(t, large, second.Body)
				}
				assert.Equal(t, 1, l.Runs())
			})
		}
	}
}

func TestF50_StreamResetWhileTheBodyIsSentClaimsNothing(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	arrived, left := make(chan context.Context, 10), make(chan struct{}, 10)
	l := newService(t, setup{namespace: ns, wrap: func(next http.Handler) http.Handler {
		return arrivals(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { left <- struct{}{} }()
			next.ServeHTTP(w, r)
		}), arrived)
	}}).over(t, http2)
	body, upload := io.Pipe()
	ctx, reset := context.WithCancel(t.Context())
	key := newKey()
	req := newRequest(t, l.URL, call{key: key}).WithContext(ctx)
	req.Body, req.ContentLength = body, -1
	gone := make(chan error, 1)
	go func() {
		resp, err := l.Client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		gone <- err
	}()
	_, err := upload.Write([]byte("the first half"))
	require.NoError(t, err)
	<-arrived
	reset()
	require.Error(t, <-gone)
	<-left
	assert.Zero(t, l.Runs())
	assert.Empty(t, shared.Server(t).Keys(ns+":*"), "nothing is claimed")
	requireExecuted(t, l.ask(t, call{key: key, body: "whole"}))
}

// A client that opens and resets streams as fast as it can has one handler
// running, however many it opens, and leaves nothing behind.
func TestF50_FloodOfResetsIsBoundedWork(t *testing.T) {
	t.Parallel()
	const streams = 100
	handler, started, goOn := blocking(t)
	var arrived, served atomic.Int64
	var resets sync.Map // how clients reset their streams
	l := newService(t, setup{handler: handler, wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			arrived.Add(1)
			defer served.Add(1)
			if reset, ok := resets.Load(r.Header.Get("X-Stream")); ok {
				go reset.(context.CancelFunc)() // while the request is looked at
			}
			next.ServeHTTP(w, r)
		})
	}}).over(t, http2)
	warm := l.open(t, newRequest(t, l.URL, call{method: http.MethodGet})) // one connection for all that follows
	require.Equal(t, http.StatusMethodNotAllowed, warm.StatusCode)
	require.NoError(t, warm.Body.Close())
	c := call{key: newKey(), body: "B"}
	var flood sync.WaitGroup
	for n := range streams {
		ctx, reset := context.WithCancel(t.Context())
		req := newRequest(t, l.URL, c).WithContext(ctx)
		req.Header.Set("X-Stream", strconv.Itoa(n))
		resets.Store(strconv.Itoa(n), reset)
		flood.Go(func() {
			defer reset()
			resp, err := l.Client.Do(req)
			if err == nil {
				_ = resp.Body.Close()
			}
		})
	}
	flood.Wait()
	first := make(chan response, 1)
	go func() { first <- l.ask(t, c) }() // in case that no stream of the flood reached the handler
	<-started
	close(goOn)
	<-first
	eventually(t, "the answer is recorded", func() bool {
		return l.ask(t, c).Header.Get("Idempotency-Status") == "replayed"
	})
	assert.Equal(t, 1, l.Runs())
	assert.Empty(t, started, "no second start")
	eventually(t, "nothing of the flood is still served", func() bool { return served.Load() == arrived.Load() })
	assert.Greater(t, arrived.Load(), int64(streams), "the flood reached the service")
}

func TestF50_GoAwayLetsARunningHandlerAnswer(t *testing.T) {
	t.Parallel()
	handler, started, goOn := blocking(t)
	l := newService(t, setup{handler: handler}).over(t, http2)
	c := call{key: newKey(), body: "B"}
	answer := make(chan response, 1)
	go func() { answer <- l.ask(t, c) }()
	<-started
	closing := make(chan error, 1)
	go func() { closing <- l.Server.Config.Shutdown(t.Context()) }()
	eventually(t, "the listener is closed", func() bool {
		_, err := l.Server.Listener.Accept()
		return err != nil
	})
	close(goOn)
	first := <-answer
	requireExecuted(t, first)
	assert.Equal(t, "done", first.Body)
	require.NoError(t, <-closing)
	requireReplay(t, first, send(t, l.service.URL, c)) // by the service's other server
}

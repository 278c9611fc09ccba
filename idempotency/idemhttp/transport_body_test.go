package idemhttp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

func quick() idemhttp.TransportOption { return idemhttp.Backoff(time.Millisecond, time.Millisecond) }

func TestTransportSendsTheSameBodyWithEveryTry(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("0123456789abcdef", 64) // 1 KiB
	noGetBody := func(length int64) func(*http.Request) {
		return func(req *http.Request) {
			req.Body, req.GetBody, req.ContentLength = &closeNoter{Reader: strings.NewReader(body)}, nil, length
		}
	}
	tests := []struct {
		name   string
		change func(*http.Request)
		limit  int64
		tries  int
		length int64 // of the last try
	}{
		{name: "with GetBody, whatever its length", change: func(*http.Request) {}, limit: 1, tries: 3, length: 1024},
		{name: "buffered, length known", change: noGetBody(1024), limit: 1024, tries: 3, length: 1024},
		{name: "buffered, length unknown", change: noGetBody(-1), limit: 1024, tries: 3, length: 1024},
		{name: "buffered, length not said", change: noGetBody(0), limit: 1024, tries: 3, length: 1024},
		{name: "one byte too long, length known", change: noGetBody(1024), limit: 1023, tries: 1, length: 1024},
		{name: "one byte too long, length unknown", change: noGetBody(-1), limit: 1023, tries: 1, length: -1},
		{name: "no memory for bodies", change: noGetBody(-1), limit: 0, tries: 1, length: -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			base := &upstream{answers: []func(*http.Request) (*http.Response, error){cut, answered(502), created}}
			req := clientRequest(t, "POST", "http://service/", body)
			tt.change(req)
			original := req.Body
			_, err := newTransport(t, base, quick(), idemhttp.MaxResendBody(tt.limit)).RoundTrip(req)
			assert.Equal(t, tt.tries == 1, err != nil, "what is sent once fails with its error")
			require.Len(t, base.bodies, tt.tries)
			for _, sent := range base.bodies {
				assert.Equal(t, body, sent)
			}
			assert.Equal(t, tt.length, base.sent[tt.tries-1].ContentLength)
			if noter, ok := original.(*closeNoter); ok {
				assert.True(t, noter.closed)
			}
		})
	}
}

func TestTransportBodiesThatAreEmpty(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		body io.ReadCloser
	}{
		{"nil", nil},
		{"NoBody", http.NoBody},
		{"turns out empty", io.NopCloser(strings.NewReader(""))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			base := &upstream{answers: []func(*http.Request) (*http.Response, error){cut, created}}
			req := clientRequest(t, "POST", "http://service/", "")
			req.Body, req.GetBody = tt.body, nil
			_, err := newTransport(t, base, quick()).RoundTrip(req)
			require.NoError(t, err)
			assert.Equal(t, []string{"", ""}, base.bodies)
			for _, sent := range base.sent {
				assert.True(t, sent.Body == nil || sent.Body == http.NoBody, "net/http takes a body of length 0 as one of unknown length")
			}
		})
	}
}

func TestTransportAsksGetBodyForEachFurtherTry(t *testing.T) {
	t.Parallel()
	base := &upstream{answers: []func(*http.Request) (*http.Response, error){cut, cut, created}}
	req := clientRequest(t, "POST", "http://service/", "")
	var bodies []*closeNoter
	req.Body = &closeNoter{Reader: strings.NewReader("body")}
	req.GetBody = func() (io.ReadCloser, error) {
		bodies = append(bodies, &closeNoter{Reader: strings.NewReader("body")})
		return bodies[len(bodies)-1], nil
	}
	_, err := newTransport(t, base, quick()).RoundTrip(req)
	require.NoError(t, err)
	assert.Equal(t, []string{"body", "body", "body"}, base.bodies)
	assert.NotSame(t, base.sent[0], base.sent[1], "the try before may still be closing its body")
	assert.NotSame(t, base.sent[1], base.sent[2])
	require.Len(t, bodies, 2)
	assert.True(t, bodies[0].closed)
	assert.True(t, bodies[1].closed)
}

func TestTransportBodyThatCannotBeRead(t *testing.T) {
	t.Parallel()
	errDisk := errors.New("disk")
	t.Run("while it is buffered", func(t *testing.T) {
		t.Parallel()
		base := &upstream{}
		req := clientRequest(t, "POST", "http://service/", "")
		body := &closeNoter{Reader: io.MultiReader(strings.NewReader("half"), iotest.ErrReader(errDisk))}
		req.Body, req.GetBody = body, nil
		_, err := newTransport(t, base).RoundTrip(req)
		require.ErrorIs(t, err, errDisk)
		assert.Empty(t, base.sent, "half a request is not sent")
		assert.True(t, body.closed)
	})
	t.Run("when it is asked for again", func(t *testing.T) {
		t.Parallel()
		base := &upstream{answers: []func(*http.Request) (*http.Response, error){cut}}
		req := clientRequest(t, "POST", "http://service/", "body")
		req.GetBody = func() (io.ReadCloser, error) { return nil, errDisk }
		_, err := newTransport(t, base, quick()).RoundTrip(req)
		require.ErrorIs(t, err, errDisk)
		assert.Len(t, base.sent, 1)
	})
}

// Trailers are filled in by whoever reads the body, and need the chunked form.
func TestTransportSendsTrailersWithEveryTry(t *testing.T) {
	t.Parallel()
	var tries atomic.Int64
	var mu sync.Mutex
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		seen = append(seen, string(body)+" "+r.Trailer.Get("X-Sum"))
		mu.Unlock()
		if tries.Add(1) == 1 {
			w.WriteHeader(503)
		}
	}))
	defer server.Close()
	req := clientRequest(t, "POST", server.URL, "")
	req.Trailer = http.Header{"X-Sum": nil}
	req.Body = io.NopCloser(io.MultiReader(strings.NewReader("body"), readerFunc(func() { req.Trailer.Set("X-Sum", "42") })))
	req.GetBody, req.ContentLength = nil, -1
	resp, err := newTransport(t, server.Client().Transport, quick()).RoundTrip(req)
	require.NoError(t, err)
	_ = resp.Body.Close()
	assert.Equal(t, 200, resp.StatusCode)
	assert.Equal(t, []string{"body 42", "body 42"}, seen)
}

// readerFunc is called at the end of what is read before it.
type readerFunc func()

func (f readerFunc) Read([]byte) (int, error) { f(); return 0, io.EOF }

// body counts what is read of an answer's body, and whether it is closed.
type countedBody struct {
	io.Reader
	read   int
	closed bool
}

func (c *countedBody) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

func (c *countedBody) Close() error { c.closed = true; return nil }

func TestTransportDropsAnswersThatItRetries(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		size   int
		length int64
		most   int
	}{
		{"short, to its end", 100, 100, 100},
		{"of unknown length, not at all: it may have no end", 1 << 20, -1, 0},
		{"long, not at all", 1 << 20, 1 << 20, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := &countedBody{Reader: bytes.NewReader(make([]byte, tt.size))}
			base := &upstream{answers: []func(*http.Request) (*http.Response, error){
				func(req *http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 503, ContentLength: tt.length, Body: body, Header: http.Header{}}, nil
				},
				created,
			}}
			resp, err := newTransport(t, base, quick()).RoundTrip(clientRequest(t, "POST", "http://service/", ""))
			require.NoError(t, err)
			assert.Equal(t, 201, resp.StatusCode)
			assert.True(t, body.closed)
			assert.LessOrEqual(t, body.read, tt.most)
			if tt.size <= tt.most {
				assert.Equal(t, tt.size, body.read, "or its connection is lost")
			}
		})
	}
}

// stuckBody gives part of its bytes, and then nothing until it is released.
type stuckBody struct {
	io.Reader

	released   chan struct{}
	release    func()
	closeWaits bool // as the body of a server's request: Close waits for Read
}

func newStuckBody(start string) *stuckBody {
	released := make(chan struct{})
	b := &stuckBody{released: released, release: sync.OnceFunc(func() { close(released) })}
	b.Reader = io.MultiReader(strings.NewReader(start), readerFunc(func() { <-released }))
	return b
}

func (b *stuckBody) Close() error {
	if b.closeWaits {
		<-b.released
	}
	b.release()
	return nil
}

func TestTransportReadsABodyUpToTheContextsEnd(t *testing.T) {
	t.Parallel()
	for _, closeWaits := range []bool{false, true} {
		t.Run("Close waits for Read "+strconv.FormatBool(closeWaits), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				errStop := errors.New("stop")
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errStop)
				defer cancel()
				base, body := &upstream{}, newStuckBody("half")
				body.closeWaits = closeWaits
				req := clientRequest(t, "POST", "http://service/", "").WithContext(ctx)
				req.Body, req.GetBody, req.ContentLength = body, nil, -1
				start := time.Now()
				_, err := newTransport(t, base).RoundTrip(req)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorIs(t, err, errStop)
				assert.Equal(t, time.Minute, time.Since(start))
				assert.Empty(t, base.sent, "half a request is not sent")
				if closeWaits {
					body.release()
				}
				<-body.released
				synctest.Wait() // both goroutines are gone, or the bubble fails
			})
		})
	}
}

// A server may promise an end that never comes, or none at all.
func TestTransportGoesOnWhenAnAnswerDoesNotEnd(t *testing.T) {
	t.Parallel()
	for _, length := range []int64{-1, 0, 100, 1 << 20} {
		t.Run("length "+strconv.FormatInt(length, 10), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				body := newStuckBody("half")
				base := &upstream{answers: []func(*http.Request) (*http.Response, error){
					func(*http.Request) (*http.Response, error) {
						return &http.Response{StatusCode: 503, ContentLength: length, Body: body, Header: http.Header{}}, nil
					},
					created,
				}}
				start := time.Now()
				resp, err := newTransport(t, base, quick()).RoundTrip(clientRequest(t, "POST", "http://service/", "body"))
				require.NoError(t, err)
				assert.Equal(t, 201, resp.StatusCode)
				assert.Less(t, time.Since(start), time.Second)
				<-body.released
			})
		})
	}
}

func TestTransportOverSocketsGoesOnWhenAnAnswerDoesNotEnd(t *testing.T) {
	t.Parallel()
	for _, length := range []string{"", "100"} {
		t.Run("length "+length, func(t *testing.T) {
			t.Parallel()
			server := newScript(t, func(w http.ResponseWriter, r *http.Request) {
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				w.WriteHeader(503)
				_, _ = io.WriteString(w, "half")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}, status(201))
			resp, err := newTransport(t, server.Client().Transport, quick()).RoundTrip(clientRequest(t, "POST", server.URL, "body"))
			require.NoError(t, err)
			assert.Equal(t, 201, resp.StatusCode)
			assert.Empty(t, readAll(t, resp))
		})
	}
}

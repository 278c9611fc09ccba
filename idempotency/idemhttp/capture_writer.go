package idemhttp

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/felixge/httpsnoop"
)

// wrap builds the handler's writer: the capture's methods, behind exactly the
// optional interfaces that w has. What the capture does not intercept goes to w
// (deadlines, full duplex, push, close notification).
func (c *capture) wrap(w http.ResponseWriter) http.ResponseWriter {
	if standard := c.standard(w); standard != nil {
		return standard
	}
	if leaks(w) {
		return c.sealed(w)
	}
	return httpsnoop.Wrap(w, httpsnoop.Hooks{
		Header: func(httpsnoop.HeaderFunc) httpsnoop.HeaderFunc { return c.liveHeader },
		WriteHeader: func(httpsnoop.WriteHeaderFunc) httpsnoop.WriteHeaderFunc {
			return c.writeHeader
		},
		Write: func(httpsnoop.WriteFunc) httpsnoop.WriteFunc { return c.write },
		WriteString: func(httpsnoop.WriteStringFunc) httpsnoop.WriteStringFunc {
			return func(s string) (int, error) { return c.write([]byte(s)) }
		},
		ReadFrom: func(httpsnoop.ReadFromFunc) httpsnoop.ReadFromFunc {
			return func(src io.Reader) (int64, error) { return c.readFrom(src) }
		},
		Flush: func(httpsnoop.FlushFunc) httpsnoop.FlushFunc {
			return func() { _ = c.flush() }
		},
		FlushError: func(httpsnoop.FlushErrorFunc) httpsnoop.FlushErrorFunc { return c.flush },
		Hijack:     func(httpsnoop.HijackFunc) httpsnoop.HijackFunc { return c.hijack },
	})
}

// reach says which of the intercepted abilities a writer has.
type reach struct{ flush, hijack bool }

func reachOf(w http.ResponseWriter) reach {
	var r reach
	switch w.(type) {
	case http.Flusher, interface{ FlushError() error }:
		r.flush = true
	}
	_, r.hijack = w.(http.Hijacker)
	return r
}

// deepReachOf also counts what http.ResponseController finds by Unwrap.
func deepReachOf(w http.ResponseWriter) reach {
	r := reachOf(w)
	for {
		inner, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return r
		}
		w = inner.Unwrap()
		direct := reachOf(w)
		r.flush, r.hijack = r.flush || direct.flush, r.hijack || direct.hijack
	}
}

// leaks reports whether a controller would find a flush or a hijack behind w
// that w itself does not have. A writer that mirrors w would let it pass by the
// capture, and the flush would send a status that the handler never chose.
func leaks(w http.ResponseWriter) bool { return reachOf(w) != deepReachOf(w) }

// sealed is wrap for a writer that leaks. Type assertions find the same flush
// and hijack as on w, a controller finds the capture's at the [gate] behind.
// The shortcuts ReadFrom, WriteString, Push and CloseNotify are not offered;
// the first two have equivalents in package io.
func (c *capture) sealed(w http.ResponseWriter) http.ResponseWriter {
	base := plainWriter{c: c, reach: deepReachOf(w)}
	switch direct := reachOf(w); {
	case direct.flush:
		return flushWriter{base}
	case direct.hijack:
		return hijackWriter{base}
	}
	return base
}

type plainWriter struct {
	c     *capture
	reach reach
}

func (w plainWriter) Header() http.Header         { return w.c.liveHeader() }
func (w plainWriter) WriteHeader(status int)      { w.c.writeHeader(status) }
func (w plainWriter) Write(p []byte) (int, error) { return w.c.write(p) }
func (w plainWriter) Unwrap() http.ResponseWriter { return gate{w} }

type flushWriter struct{ plainWriter }

func (w flushWriter) Flush()            { _ = w.c.flush() }
func (w flushWriter) FlushError() error { return w.c.flush() }

type hijackWriter struct{ plainWriter }

func (w hijackWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.c.hijack() }

// gate is where a controller that unwraps ends its search for flush and hijack.
// Its other searches go on in the underlying writer.
type gate struct{ plainWriter }

func (g gate) Unwrap() http.ResponseWriter { return g.c.under }

func (g gate) FlushError() error {
	if !g.reach.flush {
		return fmt.Errorf("%w", http.ErrNotSupported)
	}
	return g.c.flush()
}

func (g gate) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !g.reach.hijack {
		return nil, nil, fmt.Errorf("%w", http.ErrNotSupported)
	}
	return g.c.hijack()
}

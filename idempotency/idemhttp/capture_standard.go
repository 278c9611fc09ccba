package idemhttp

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"
)

// passedThrough are a server's abilities that the capture has no part in.
type passedThrough interface {
	CloseNotify() <-chan bool
	SetReadDeadline(deadline time.Time) error
	SetWriteDeadline(deadline time.Time) error
	EnableFullDuplex() error
}

// bothServers is what the response writers of net/http have for HTTP/1 and HTTP/2,
// http1Server and http2Server what one of them has beside.
type (
	bothServers interface {
		http.ResponseWriter
		http.Flusher
		FlushError() error
		io.StringWriter
		passedThrough
	}
	http1Server interface {
		bothServers
		http.Hijacker
		io.ReaderFrom
	}
	http2Server interface {
		bothServers
		http.Pusher
	}
)

// standard is wrap for the writers of net/http itself, which nearly all handlers get:
// in one piece of memory, and with no calls on the way. Nil for any other writer.
func (c *capture) standard(w http.ResponseWriter) http.ResponseWriter {
	server1, is1 := w.(http1Server)
	server2, is2 := w.(http2Server)
	switch {
	case is1 && is2:
		return nil
	case is1:
		return http1Writer{standardWriter{c}, server1}
	case is2 && !reachOf(w).hijack && !readsFrom(w):
		return http2Writer{standardWriter{c}, server2, server2}
	}
	return nil
}

func readsFrom(w http.ResponseWriter) bool {
	_, ok := w.(io.ReaderFrom)
	return ok
}

type standardWriter struct{ c *capture }

func (w standardWriter) Header() http.Header               { return w.c.liveHeader() }
func (w standardWriter) WriteHeader(status int)            { w.c.writeHeader(status) }
func (w standardWriter) Write(p []byte) (int, error)       { return w.c.write(p) }
func (w standardWriter) WriteString(s string) (int, error) { return w.c.write([]byte(s)) }
func (w standardWriter) Flush()                            { _ = w.c.flush() }
func (w standardWriter) FlushError() error                 { return w.c.flush() }
func (w standardWriter) Unwrap() http.ResponseWriter       { return w.c.under }

type http1Writer struct {
	standardWriter
	passedThrough
}

func (w http1Writer) ReadFrom(src io.Reader) (int64, error)        { return w.c.readFrom(src) }
func (w http1Writer) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.c.hijack() }

type http2Writer struct {
	standardWriter
	passedThrough
	http.Pusher
}

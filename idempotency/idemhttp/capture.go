package idemhttp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/reprise-go/reprise/store"
)

// ErrHijack is what a handler gets that tries to take over the connection of a
// protected route whose response is recorded. A policy that passes streams
// through permits it. errors.Is also finds [http.ErrNotSupported].
var ErrHijack = fmt.Errorf("idemhttp: cannot hijack a response that is recorded (stream=pass permits it): %w", http.ErrNotSupported)

// errFinished is what a handler's leftover goroutine gets that writes after
// the handler returned.
var errFinished = errors.New("idemhttp: write after the handler returned")

// captureMode says when the handler's bytes reach the client.
type captureMode uint8

const (
	// bufferResponse holds everything back, up to a limit, until send.
	bufferResponse captureMode = iota + 1
	// passResponse gives everything to the client at once and keeps no body.
	passResponse
)

// capture stands between a handler and the response writer of its request. The
// handler writes to [capture.Writer]; when it has returned, [capture.finish]
// says what it answered and [capture.send] delivers it. What the client gets is
// what net/http would have sent: the same status, header and body, the same
// errors and panics for misuse.
//
// A buffering capture that grows over its limit starts to flow: header and kept
// bytes are sent, further bytes follow at once, and no body is recorded.
//
// All methods, and those of the writer, may be called concurrently. Once finish
// was called, a handler's leftover goroutines change nothing any more.
type capture struct {
	mode  captureMode
	limit int64
	// copies says that a passing capture keeps a copy of the body, up to limit. Set
	// before the first use.
	copies bool
	// head says that the request's method is HEAD. Set before the first use.
	head bool
	// beforeFlow may set mark headers on the client's header just before bytes
	// start to flow while the handler runs: when a buffering capture overflows,
	// or at a passing one's first byte. It must not call the capture. Optional;
	// set before the first use.
	beforeFlow func(http.Header)

	under  http.ResponseWriter
	writer http.ResponseWriter

	mu sync.Mutex
	// handler is the handler's map: in pass mode the client's own, else a copy
	// that starts with what outer middleware has set.
	handler http.Header
	// inherited is what outer middleware had set before the handler ran.
	inherited http.Header
	// poured are the fields of the client's header that came from handler.
	poured []string

	status   int         // the first final one, 0 until then
	fixed    http.Header // the header at that moment
	declared int64       // a valid Content-Length in it, else -1
	written  int64       // attempted body bytes, counted as net/http does
	accepted int64       // those that are part of the body
	body     []byte
	// sniffable is how much of the body net/http would have looked at for the
	// Content-Type: all that was there at the first flush. -1 without a flush.
	sniffable int
	// flows: the header has been sent, further bytes follow at once.
	flows    bool
	hijacked bool
	flowErr  error

	finished bool
	answer   answer
	flags    captureFlags
}

// captureFlags say what an answer alone does not. Set by finish.
type captureFlags struct {
	// flowed: header, and perhaps bytes, went to the client while the handler
	// ran; the response cannot be marked or replaced any more.
	flowed bool
	// overflowed: what was to be kept grew over its limit.
	overflowed bool
	// hijacked: the handler took over the connection; there is no answer.
	hijacked bool
	// broken: the body does not have the length that the header declares, so
	// the client cannot take it for complete. It must not be recorded as final.
	broken bool
}

// newCapture returns a capture over w that keeps at most limit body bytes.
func newCapture(w http.ResponseWriter, mode captureMode, limit int64) *capture {
	c := &capture{
		mode: mode, limit: limit, under: w, handler: w.Header(),
		declared: -1, sniffable: -1,
	}
	if len(c.handler) > 0 {
		c.inherited = c.handler.Clone()
	}
	if mode == bufferResponse {
		c.handler = c.inherited.Clone()
		if c.handler == nil {
			c.handler = make(http.Header)
		}
		for name := range c.inherited {
			c.poured = append(c.poured, name)
		}
	}
	c.writer = c.wrap(w)
	return c
}

// Writer returns the handler's response writer. It has the optional interfaces
// that the underlying writer has, and http.ResponseController works through it.
func (c *capture) Writer() http.ResponseWriter { return c.writer }

func (c *capture) liveHeader() http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		// A leftover goroutine must not touch a map that others read by now.
		return http.Header{}
	}
	return c.handler
}

func (c *capture) writeHeader(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished || c.hijacked || c.status != 0 {
		return
	}
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	}
	if !isFinal(status) {
		c.inform(status)
		return
	}
	c.fix(status)
}

// inform sends a 1xx response with the header set so far, at once: what it
// announces has no meaning later. The client's header is then as before, in
// case that the final answer will not be this handler's.
func (c *capture) inform(status int) {
	if c.mode == passResponse {
		c.under.WriteHeader(status)
		return
	}
	client := c.under.Header()
	before := maps.Clone(client)
	c.pour(c.handler)
	c.under.WriteHeader(status)
	clear(client)
	maps.Copy(client, before)
}

// fix makes status and the present header the final ones.
func (c *capture) fix(status int) {
	c.status = status
	dropMarkTrailers(c.handler)
	c.fixed = c.handler.Clone()
	length, err := strconv.ParseInt(c.handler.Get("Content-Length"), 10, 64)
	if err == nil && length >= 0 {
		c.declared = length
	}
	if c.mode == passResponse {
		c.flow()
	}
}

// flow sends the header, after which bytes may follow.
func (c *capture) flow() {
	c.flows = true
	if c.beforeFlow != nil {
		c.beforeFlow(c.under.Header())
	}
	c.under.WriteHeader(c.status)
}

func (c *capture) write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.finished:
		return 0, errFinished
	case c.hijacked:
		return 0, http.ErrHijacked
	case c.status == 0:
		c.fix(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if !bodyAllowed(c.status) {
		return 0, http.ErrBodyNotAllowed
	}
	c.written += int64(len(p))
	if c.declared >= 0 && c.written > c.declared {
		return 0, http.ErrContentLength
	}
	c.accepted += int64(len(p))
	return c.keep(p)
}

func (c *capture) keep(p []byte) (int, error) {
	if c.copies {
		c.copyBody(p)
	}
	if !c.flows && int64(len(c.body))+int64(len(p)) <= c.limit {
		c.body = append(c.body, p...)
		return len(p), nil
	}
	if !c.flows {
		c.overflow()
	}
	if c.flowErr != nil {
		return 0, c.flowErr
	}
	n, err := c.under.Write(p)
	c.flowErr = err
	return n, err
}

func (c *capture) copyBody(p []byte) {
	if c.flags.overflowed || int64(len(c.body))+int64(len(p)) > c.limit {
		c.flags.overflowed, c.body = true, nil
		return
	}
	c.body = append(c.body, p...)
}

// overflow sends what was kept and lets the rest flow.
func (c *capture) overflow() {
	c.flags.overflowed = true
	if c.sniffable >= 0 {
		c.fixContentType()
	}
	c.pour(c.fixed)
	c.flow()
	if len(c.body) > 0 {
		_, c.flowErr = c.under.Write(c.body)
	}
	c.body = nil
}

// readFrom copies piece by piece through write: an io.Copy must not bypass the
// recording, and a source that fails at once must not fix a status.
func (c *capture) readFrom(src io.Reader) (int64, error) {
	return io.Copy(writerFunc(c.write), struct{ io.Reader }{src})
}

// flush holds the bytes back unless they flow. Like net/http's it fixes the
// status and ends the part of the body from which the type is guessed.
func (c *capture) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.finished:
		return errFinished
	case c.hijacked:
		return http.ErrHijacked
	case c.status == 0:
		c.fix(http.StatusOK)
	}
	if c.sniffable < 0 {
		c.sniffable = len(c.body)
	}
	if c.flows {
		return http.NewResponseController(c.under).Flush()
	}
	return nil
}

func (c *capture) hijack() (net.Conn, *bufio.ReadWriter, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		return nil, nil, errFinished
	}
	if c.mode == bufferResponse {
		return nil, nil, ErrHijack
	}
	conn, rw, err := http.NewResponseController(c.under).Hijack()
	c.hijacked = c.hijacked || err == nil
	return conn, rw, err
}

// omission says why the answer has no body.
func (c *capture) omission() store.Omission {
	switch {
	case c.copies && c.flowErr != nil: // the handler may have stopped at that
		return store.BodyStreamed
	case c.mode == passResponse && !c.copies && c.flows && (c.accepted > 0 || c.flags.broken): // else there is no body to keep
		return store.BodyStreamed
	case c.flags.overflowed, c.flags.broken:
		// A cut body is left out as well, whatever the caller makes of the flag.
		return store.BodyTooLarge
	}
	return store.BodyKept
}

// writerFunc is a writer without the optional interfaces that io.Copy looks for.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

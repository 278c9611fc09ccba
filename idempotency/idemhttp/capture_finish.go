package idemhttp

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/store"
)

// finish ends the handler's part and returns what it answered, with the header
// fields that names lists (see [recordedHeaders]). Nothing is sent, unless
// bytes flowed before. Called again, it returns the same.
//
// The answer shares the body's memory with the capture; nobody changes it.
func (c *capture) finish(names []string) (answer, captureFlags) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		return c.answer, c.flags
	}
	c.finished = true
	c.flags.hijacked = c.hijacked
	c.flags.flowed = c.flows || c.hijacked
	if c.hijacked {
		return c.answer, c.flags
	}
	c.fixImplicit()
	if c.mode == bufferResponse {
		// A leftover goroutine may hold on to the handler's map, and send reads
		// the trailers only once the answer is recorded.
		c.handler = trailersOf(c.handler, c.fixed)
	}
	if (!c.flows || c.copies) && len(c.body) > 0 {
		c.fixContentType() // where bytes flowed, the client's header is another map
	}
	c.flags.broken = c.wrongLength()
	c.answer = answer{
		status:  c.status,
		header:  pickHeaders(c.own(), names),
		trailer: c.recordedTrailers(),
		omitted: c.omission(),
	}
	if c.answer.omitted == store.BodyKept {
		c.answer.body = c.body
	}
	return c.answer, c.flags
}

// fixImplicit gives a handler that wrote nothing its 200. Unlike fix it does
// not let a passing capture flow: the marks are still to be set, by send.
func (c *capture) fixImplicit() {
	if c.status != 0 {
		return
	}
	mode := c.mode
	if mode == bufferResponse {
		c.handler = c.handler.Clone() // for the same reason
	}
	c.mode = bufferResponse
	c.fix(http.StatusOK)
	c.mode = mode
}

// fixContentType puts into the fixed header what net/http would have guessed
// from the body, or an explicit nothing where it would not have guessed: the
// server below sees other pieces of the body than it would have seen then.
func (c *capture) fixContentType() {
	if _, typed := c.fixed["Content-Type"]; typed {
		return
	}
	prefix := c.body
	if c.sniffable >= 0 {
		prefix = c.body[:c.sniffable]
	}
	own := c.own()
	encoded := own.Get("Content-Encoding") != "" || own.Get("Transfer-Encoding") != ""
	if encoded || len(prefix) == 0 {
		c.fixed["Content-Type"] = nil
		return
	}
	c.fixed.Set("Content-Type", http.DetectContentType(prefix))
}

// own returns the fixed header without the fields that outer middleware had set
// and the handler left alone: they are that middleware's to set again on a
// replay, or not. A compressor outside announces its Content-Encoding like that,
// and the next client may not accept it. The Content-Type always counts as the
// handler's.
func (c *capture) own() http.Header {
	if len(c.inherited) == 0 {
		return c.fixed
	}
	own := maps.Clone(c.fixed)
	for name, values := range c.inherited {
		if name != "Content-Type" && slices.Equal(own[name], values) {
			delete(own, name)
		}
	}
	return own
}

// wrongLength reports that the body has another length than the header says. A
// handler that stopped because its client has gone is not to blame, and one
// that was kept from writing more than it declared leaves a complete body.
func (c *capture) wrongLength() bool {
	return c.declared >= 0 && c.accepted != c.declared &&
		!c.head && bodyAllowed(c.status) && c.flowErr == nil
}

// send delivers the response to the client, with every header field that the
// handler set, and the trailers; where bytes flowed, only the latter are left.
// The marks function, if any, may change the client's header just before it is
// sent. Called after finish, once. Returns the client's first write error.
//
// No Content-Length is added: the server below does so for short bodies, as it
// would have for the handler, and a compressing writer below could not keep it.
func (c *capture) send(marks func(http.Header)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hijacked {
		return nil
	}
	if !c.flows {
		c.deliver(marks)
	}
	dropMarkTrailers(c.handler) // those that nobody declared
	if c.mode == bufferResponse {
		c.pourTrailers()
	}
	return c.flowErr
}

func (c *capture) deliver(marks func(http.Header)) {
	if c.mode == bufferResponse {
		c.pour(c.fixed)
	}
	if marks != nil {
		marks(c.under.Header())
	}
	c.under.WriteHeader(c.status)
	if len(c.body) > 0 {
		c.flowErr = writeAll(c.under, c.body)
	}
}

func writeAll(w io.Writer, p []byte) error {
	n, err := w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return err
}

// pour makes the client's header the given one, as far as it is the handler's:
// a field that outer middleware added in the meantime stays.
func (c *capture) pour(h http.Header) {
	client := c.under.Header()
	for _, name := range c.poured {
		if _, kept := h[name]; !kept {
			delete(client, name)
		}
	}
	for name, values := range h {
		client[name] = slices.Clone(values)
		if !slices.Contains(c.poured, name) {
			c.poured = append(c.poured, name)
		}
	}
}

// pourTrailers hands the trailers to the server, which sends them at the end of
// a chunked body. Trailers that nobody declared need a flush for that, or a
// short body would be sent with its length and without them.
func (c *capture) pourTrailers() {
	late := false
	client := c.under.Header()
	for name, values := range c.handler {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			client[name] = slices.Clone(values)
			_, known := c.fixed[name]
			late = late || !known
		}
	}
	for _, name := range declaredTrailers(c.fixed) {
		delete(client, name)
		if values, ok := c.handler[name]; ok {
			client[name] = slices.Clone(values)
		}
	}
	if late && c.flowErr == nil && !c.head && bodyAllowed(c.status) {
		// A writer without flush sends no late trailers; nothing is to be done.
		_ = http.NewResponseController(c.under).Flush()
	}
}

// dropMarkTrailers takes the marks out of a header's trailers: a mark in a
// handler's trailer would contradict the one that this middleware sets.
func dropMarkTrailers(h http.Header) {
	for key := range h {
		if name, ok := strings.CutPrefix(key, http.TrailerPrefix); ok && isMark(name) {
			delete(h, key)
		}
	}
	names := declaredTrailers(h)
	if !slices.ContainsFunc(names, isMark) {
		return
	}
	names = slices.DeleteFunc(names, isMark)
	if len(names) == 0 {
		h.Del("Trailer")
		return
	}
	h["Trailer"] = []string{strings.Join(names, ", ")}
}

func isMark(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case headerStatus, headerReplayed, headerRecordedAt:
		return true
	}
	return false
}

// recordedTrailers returns the trailers, without those that are not safe to send
// or to keep. Whether a response can have them at all is the server's to say.
func (c *capture) recordedTrailers() []field {
	declared := declaredTrailers(c.fixed)
	if len(declared) == 0 && !hasLateTrailers(c.handler) {
		return nil
	}
	trailers := http.Header{}
	for key, values := range c.handler {
		if name, ok := strings.CutPrefix(key, http.TrailerPrefix); ok {
			addTrailer(trailers, http.CanonicalHeaderKey(name), values)
		}
	}
	for _, name := range declared {
		addTrailer(trailers, name, c.handler[name])
	}
	var fields []field
	for _, name := range slices.Sorted(maps.Keys(trailers)) {
		fields = appendFields(fields, name, trailers[name])
	}
	return fields
}

// trailersOf returns a copy of what a handler set as trailers; nil if that is none.
func trailersOf(handler, fixed http.Header) http.Header {
	declared := declaredTrailers(fixed)
	if len(declared) == 0 && !hasLateTrailers(handler) {
		return nil
	}
	trailers := make(http.Header)
	for name, values := range handler {
		if strings.HasPrefix(name, http.TrailerPrefix) || slices.Contains(declared, name) {
			trailers[name] = slices.Clone(values)
		}
	}
	return trailers
}

// hasLateTrailers reports whether there are trailers that nobody declared.
func hasLateTrailers(h http.Header) bool {
	for key := range h {
		if strings.HasPrefix(key, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

func addTrailer(trailers http.Header, name string, values []string) {
	if isToken(name) && !unsafeTrailer(name) {
		trailers[name] = append(trailers[name], values...)
	}
}

// declaredTrailers returns the names in the Trailer field, canonical, each once.
func declaredTrailers(h http.Header) []string {
	var names []string
	for _, value := range h["Trailer"] {
		for name := range strings.SplitSeq(value, ",") {
			name = http.CanonicalHeaderKey(strings.Trim(name, " \t"))
			if name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// passedOn returns the Idempotency-Status that the handler's own response carries,
// and whether it says when to come again.
func (c *capture) passedOn() (mark string, retryAfter bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fixed.Get(headerStatus), c.fixed.Get("Retry-After") != ""
}

// withdraw takes back what the handler set, where another answer is sent
// instead of its own. A buffering capture has not given anything away yet.
func (c *capture) withdraw() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mode == bufferResponse || c.flags.flowed {
		return
	}
	clear(c.handler)
	maps.Copy(c.handler, c.inherited)
}

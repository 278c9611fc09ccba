package idemhttp

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// The mark headers of answers.
const (
	headerReplayed   = "Idempotent-Replayed"
	headerStatus     = "Idempotency-Status"
	headerRecordedAt = "Idempotency-Recorded-At"
)

// The values of the Idempotency-Status field that answers other than problems
// carry.
const (
	markExecuted    = "executed"
	markReplayed    = "replayed"
	markUnrecorded  = "unrecorded"
	markUnprotected = "unprotected"
	markIgnored     = "ignored"
)

// newCapture prepares the handler's writer. An answer whose bytes flow before
// it is recorded says so: at that moment it is not final.
func (rt *route) newCapture(ctx context.Context, w http.ResponseWriter, r *http.Request) *capture {
	mark := markUnrecorded
	if !idempotency.InAttempt(ctx) {
		mark = markUnprotected
	}
	mode := bufferResponse
	if rt.policy.Stream == idempotency.StreamPass {
		mode = passResponse
	}
	c := newCapture(w, mode, rt.policy.MaxResponseBody)
	c.head = r.Method == http.MethodHead
	c.beforeFlow = func(h http.Header) { rt.prepare(h, r, mark) }
	return c
}

// prepare sets the mark headers of an answer to a keyed request, and keeps
// shared caches away from it.
func (rt *route) prepare(h http.Header, r *http.Request, mark string) {
	rt.prepareWith(new(fieldLines), h, r, mark)
}

func (x *exchange) prepare(h http.Header, mark string) { x.rt.prepareWith(&x.lines, h, x.r, mark) }

func (rt *route) prepareWith(l *fieldLines, h http.Header, r *http.Request, mark string) {
	h.Del(headerReplayed) // a handler may have passed on another service's marks
	h.Del(headerRecordedAt)
	l.set(h, headerStatus, mark)
	if _, set := h["Cache-Control"]; !set {
		l.set(h, "Cache-Control", "no-store")
	}
	if rt.m.opts.exposeMarks && r.Header.Get("Origin") != "" {
		h.Add("Access-Control-Expose-Headers",
			headerStatus+", "+headerReplayed+", "+headerRecordedAt+", Retry-After")
	}
}

// respond sends what the engine decided.
func (x *exchange) respond(result idempotency.Result, err error) {
	rt, w, r, c := x.rt, x.w, x.r, x.capture
	refused, isRefused := errors.AsType[*idempotency.Error](err)
	executed := !isRefused && result.Outcome != idempotency.Replayed
	switch {
	case c != nil && c.flags.flowed:
		_ = c.send(nil) // it is on its way already, marked as not recorded
		return
	case executed:
		// A client that hung up gets the replay when it comes back.
		_ = c.send(func(h http.Header) { x.prepare(h, executedMark(result)) })
		return
	case c != nil:
		c.withdraw() // it ran, and another's answer stands
	}
	if isRefused {
		rt.refuse(w, r, refused)
		return
	}
	x.replay(result)
}

func executedMark(result idempotency.Result) string {
	switch {
	case result.Outcome == idempotency.Unprotected:
		return markUnprotected
	case result.Recorded:
		return markExecuted
	}
	return markUnrecorded
}

func (x *exchange) replay(result idempotency.Result) {
	rt, w, r := x.rt, x.w, x.r
	a, err := decodeAnswerInto(x.recorded[:0], result.Answer.Answer)
	if err != nil {
		rt.refuse(w, r, rt.op.Reject(r.Context(), undecodable(err), err))
		return
	}
	h := w.Header()
	x.prepare(h, markReplayed)
	x.lines.set(h, headerReplayed, "true")
	x.lines.set(h, headerRecordedAt, result.RecordedAt.UTC().Format(time.RFC3339))
	_ = writeReplay(w, r, a, &x.lines) // a client that hung up asks again
}

// undecodable tells an answer of another transport or a newer version, which is
// done and not available here, from a damaged one.
func undecodable(err error) idempotency.Code {
	if errors.Is(err, errUnknownCodec) {
		return idempotency.ErrResultUnavailable
	}
	return idempotency.ErrRecordUnreadable
}

// refuse answers with a problem.
func (rt *route) refuse(w http.ResponseWriter, r *http.Request, refused *idempotency.Error) {
	p := describe(w.Header(), refused)
	rt.prepare(w.Header(), r, p.mark)
	if rt.m.opts.writeError != nil {
		rt.m.opts.writeError(w, r, p.status, refused)
		return
	}
	writeProblem(w, p)
}

func conflictStatus(rule idempotency.ConflictRule) int {
	switch rule {
	case idempotency.Conflict425:
		return http.StatusTooEarly
	case idempotency.Conflict503:
		return http.StatusServiceUnavailable
	default:
		return http.StatusConflict
	}
}

// WriteError answers with the problem of a refusal, as the middleware does: for
// an [ErrorWriter] that leaves some to the default, and for middleware around
// that wants to answer alike.
func WriteError(w http.ResponseWriter, refused *idempotency.Error) {
	p := describe(w.Header(), refused)
	w.Header().Set(headerStatus, p.mark)
	writeProblem(w, p)
}

// describe returns the problem of a refusal and sets the header fields that
// belong to it.
func describe(h http.Header, refused *idempotency.Error) problem {
	p := problemOf(refused.Code)
	if refused.Code == idempotency.ErrInProgress {
		p.status = conflictStatus(refused.Conflict)
	}
	wait := refused.RetryAfter
	if wait <= 0 {
		wait = p.retryAfter
	}
	if wait > 0 {
		h.Set("Retry-After", retryAfterSeconds(wait))
	}
	if location := keptLocation(refused.Answer); location != "" {
		h.Set("Location", location)
	}
	switch refused.Code {
	case idempotency.ErrKeyMissing, idempotency.ErrKeyInvalid:
		if refused.Err != nil { // names the field and the reason, never the key
			p.detail += " " + refused.Err.Error() + "."
		}
	default:
	}
	return p
}

// keptLocation is where the result of an operation is whose answer was not kept.
func keptLocation(kept *store.Answer) string {
	if kept == nil {
		return ""
	}
	a, err := decodeAnswer(*kept)
	if err != nil {
		return ""
	}
	return a.location()
}

package idemhttp

import (
	"errors"
	"net/http"

	"github.com/reprise-go/reprise/idempotency"
)

// ReplayGuardFunc decides whether the caller of a request may have a recorded
// answer. The request is the present one, with its body to read; what it says of
// the caller (a role, a session) may have changed since the answer was recorded.
// It is called on the request's goroutine, before anything of the record is
// sent, the Location of an answer without body included. Its error is for the
// trace hooks ([idempotency.Finished].Err); the client gets 403 replay_denied, and
// the record stays as it is.
type ReplayGuardFunc func(r *http.Request, recorded idempotency.Recorded) error

// ReplayGuard sets a function that is asked before every replay, on all routes.
// Whatever it takes is added to the replay's time. Authentication, which goes
// around the middleware, has seen the request already; a guard is for what must
// be checked again about the operation: a grant that was revoked, say.
func ReplayGuard(guard ReplayGuardFunc) Option {
	return func(o *options) error {
		if guard == nil {
			return errors.New("ReplayGuard: the function is nil")
		}
		if o.replayGuard != nil {
			return errors.New("the replay guard is set twice")
		}
		o.replayGuard = guard
		return nil
	}
}

// mayReplay is the guard as the engine asks it; nil if there is none.
func (rt *route) mayReplay(r *http.Request, body []byte) func(idempotency.Recorded) error {
	guard := rt.m.opts.replayGuard
	if guard == nil {
		return nil
	}
	return func(recorded idempotency.Recorded) error {
		given := withBody(r.WithContext(r.Context()), body)
		defer discardForm(given, r)
		return guard(given, recorded)
	}
}

package idemhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// GlobalScopeName is the scope of every request under [GlobalScope], for
// [idempotency.Guard.ID].
const GlobalScopeName = globalScope

// Status returns a handler that tells a client what became of an operation: the
// one of the key in the request's header, in the scope of the caller. It is
// safe to ask at any time, changes nothing and starts nothing. Mount it under a
// path of its own, behind the same authentication as the operation:
//
//	mux.Handle("GET /v1/payments/status", status)
//
// The answer is 200 and JSON:
//
//	{"state": "running", "attempt": 1, "first_seen": "…", "started": "…", "expires": "…", "retry_after": 2}
//
// The state is absent, running, completed, unknown or released. An absent
// operation has no other member; finished is there once the attempt has ended;
// retry_after, in seconds and also as a Retry-After field, while it runs. The
// recorded answer is never part of it: to get that, send the request again.
//
// A key of another scope looks like one that nobody ever used, in every respect.
// Refusals are the problems of the protected route: a missing or invalid key, no
// scope, a store that does not answer. Where keys count for one operation only
// ([idempotency.StrictKeys]), the key of another operation is
// idempotency_key_reused. Other methods than GET and HEAD get 405. One round trip.
//
// Errors: the operation is not registered on the guard; the store is no
// [store.Inspector]; this middleware protects it by [Middleware.ProtectByPath],
// where each method and path has records of its own, which the name does not
// find.
func (m *Middleware) Status(operation string) (http.Handler, error) {
	op, ok := m.guard.Registered(operation)
	if !ok {
		return nil, fmt.Errorf("idemhttp: Status: operation %q is not registered; protect its route first", operation)
	}
	if err := canInspect(m.guard); err != nil {
		return nil, fmt.Errorf("idemhttp: Status: %w", err)
	}
	if err := m.uses.take(operation, usedByStatus); err != nil {
		return nil, fmt.Errorf("idemhttp: Status: %w", err)
	}
	return &statusHandler{rt: &route{m: m, op: op, policy: op.Policy()}, operation: operation}, nil
}

// canInspect asks without asking: with a context that has ended nothing is sent.
func canInspect(guard *idempotency.Guard) error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := guard.Lookup(ended, store.ID{}); errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// statusHandler answers what is known of an operation.
type statusHandler struct {
	rt        *route // for the key's rules and the form of refusals
	operation string
}

// ServeHTTP implements [http.Handler].
func (s *statusHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	found, refused := s.find(w, r)
	if refused != nil {
		s.rt.refuse(w, r, refused)
		return
	}
	s.write(w, found)
}

func (s *statusHandler) find(w http.ResponseWriter, r *http.Request) (idempotency.Status, *idempotency.Error) {
	body := &requestBody{w: w, r: r, limit: s.rt.policy.MaxRequestBody}
	key, err := s.rt.keyBefore(body)
	if err != nil {
		return idempotency.Status{}, s.error(keyCode(err), err)
	}
	lent := body.lend()
	defer discardForm(lent, r)
	scope, err := s.rt.m.opts.scope(lent)
	if err != nil || scope == "" {
		return idempotency.Status{}, s.error(idempotency.ErrScopeMissing, err)
	}
	guard := s.rt.m.guard
	found, err := guard.Lookup(r.Context(), guard.ID(s.operation, scope, key))
	switch {
	case err != nil:
		return found, s.refusal(err)
	case found.State != store.Absent && found.Operation != s.operation:
		return found, s.error(idempotency.ErrKeyReused, nil)
	}
	return found, nil
}

func (s *statusHandler) error(code idempotency.Code, cause error) *idempotency.Error {
	return &idempotency.Error{Code: code, Operation: s.operation, Err: cause}
}

func (s *statusHandler) refusal(err error) *idempotency.Error {
	if refused, ok := errors.AsType[*idempotency.Error](err); ok {
		return refused
	}
	return s.error(idempotency.ErrStoreUnavailable, err)
}

// statusBody is the JSON form.
type statusBody struct {
	State      string     `json:"state"`
	Attempt    int        `json:"attempt,omitempty"`
	FirstSeen  *time.Time `json:"first_seen,omitempty"`
	Started    *time.Time `json:"started,omitempty"`
	Finished   *time.Time `json:"finished,omitempty"`
	Expires    *time.Time `json:"expires,omitempty"`
	RetryAfter int        `json:"retry_after,omitempty"`
}

func (s *statusHandler) write(w http.ResponseWriter, found idempotency.Status) {
	body := statusBody{State: found.State.String()}
	h := w.Header()
	if found.State != store.Absent {
		body.Attempt = found.Attempt
		body.FirstSeen, body.Started = moment(found.Created), moment(found.Started)
		body.Finished, body.Expires = moment(found.Finished), moment(found.Expires)
	}
	if found.State == store.Running {
		wait := whenToAsk(found)
		body.RetryAfter = int((wait + time.Second - 1) / time.Second)
		h.Set("Retry-After", retryAfterSeconds(wait))
	}
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(body) //nolint:errchkjson // strings, numbers and times of this century always encode
}

// moment leaves out what has not happened, and fractions of a second.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC().Truncate(time.Second))
}

// whenToAsk guesses as a refused duplicate is told: the attempt takes as long
// again as it took so far, within a second and the rest of its lease.
func whenToAsk(found idempotency.Status) time.Duration {
	age := found.Now.Sub(found.Started)
	return max(time.Second, min(age, found.LeaseEnd.Sub(found.Now)))
}

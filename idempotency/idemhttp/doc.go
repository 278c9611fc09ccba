// Package idemhttp protects net/http handlers: it reads the idempotency key of
// a request, lets the engine decide, and gives every duplicate the same answer.
//
//	guard, err := idempotency.New(store)
//	mw, err := idemhttp.New(guard, idemhttp.Scope(tenant)) // func(*http.Request) (string, error)
//
//	mux := http.NewServeMux()
//	err = mw.Handle(mux, "POST /v1/payments", createPayment, idempotency.Policy{})
//	err = mw.Handle(mux, "PATCH /v1/payments/{id}", patchPayment,
//		idempotency.Policy{Key: idempotency.KeyOptional})
//
// For other routers, [Middleware.Wrap] protects one handler, and [Middleware.Protect]
// returns a func(http.Handler) http.Handler.
// [Middleware.Mount] mounts a whole table of routes, annotated by struct tags, and
// [JSON] makes a handler of a function whose request struct says by its tags where
// key and scope are. [Middleware.Routes] lists what is mounted.
//
// # Place in a chain
//
// Recovery, logging, authentication, rate limits, compression and CORS stand
// outside; validation and the handler inside. A recovery middleware inside
// would turn a panic, whose outcome is unknown, into a 500, which says that
// nothing happened.
//
// An http.TimeoutHandler stands outside, too: around the mux or the protected
// handler. Its deadline then is also the handler's, its own 503 is not recorded,
// and what the handler answers in the end is: a retry gets that. Inside, it
// would answer 503 while the handler it wraps may still be at work.
// [Middleware.Handle] refuses it there, and a handler that is protected already,
// as far as the handler's type tells; a wrapper in between hides it. Such a
// handler had better call [idempotency.MarkEffect] before its effect, which
// fails once the attempt has ended. An http.MaxBytesHandler outside counts like
// [idempotency.Policy].MaxRequestBody, the smaller one decides.
//
// # What a handler notices
//
// Its context is detached from the connection: values and a deadline stay, a
// client that hangs up does not cancel it. It is cancelled when the lease is
// lost. Its writes are buffered and sent once the answer is recorded; flushes
// are held back ([idempotency.StreamBuffer]) unless the route passes them on
// ([idempotency.StreamPass]). The request body has been read, and is given to
// the handler from memory. A duplicate's body is read as well, for its
// fingerprint; one that is announced as too large is refused before a client
// that waits for 100 Continue sends it.
//
// A body that grows over [idempotency.Policy].MaxResponseBody flows from there
// on, and so does every body under StreamPass: the caller gets all of it, marked
// as unrecorded, and a duplicate gets 409 result_unavailable with the Location.
// Taking over the connection ([http.Hijacker]) fails with [ErrHijack] unless the
// route passes streams on; then, and after a 101, the outcome is unknown. Pushes,
// deadlines and full duplex reach the server as they are.
//
// A handler may pass on the response of another service of this library, with its
// Idempotency-Status. One that does not know its outcome, or has it and does not tell
// (unknown, unavailable, unrecorded), makes the outcome unknown here, too, whatever
// the status, and a record that it cannot read does where the status would be
// recorded. A refusal after which the same request may succeed (conflict, and rejected
// with a Retry-After) is not recorded under any status. All others, such as mismatch,
// are what their status means.
//
// # What clients see
//
// Answers carry Idempotency-Status: executed (recorded, the first answer),
// replayed (with Idempotent-Replayed: true and Idempotency-Recorded-At),
// unrecorded (the handler's true answer, which a retry will not get: it was not
// recorded, not yet, or without its body), unprotected, ignored (no protection
// applied to this request), and for problems conflict, mismatch, unknown,
// unavailable, rejected. Problems are RFC 9457 application/problem+json with a
// stable code. Protected answers say Cache-Control: no-store unless the handler
// says otherwise. A replay is what was recorded, whatever content coding its
// client would accept: compress outside.
package idemhttp

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
// For other routers, [Middleware.Protect] returns a func(http.Handler) http.Handler.
//
// # Place in a chain
//
// Recovery, logging, authentication, rate limits, compression and CORS stand
// outside; validation and the handler inside. A recovery middleware inside
// would turn a panic, whose outcome is unknown, into a 500, which says that
// nothing happened. An http.TimeoutHandler inside answers 503 while the handler
// it wraps may still be at work: put it outside, or have the handler call
// [idempotency.MarkEffect] before its effect, which fails once the attempt has
// ended.
//
// # What a handler notices
//
// Its context is detached from the connection: values and a deadline stay, a
// client that hangs up does not cancel it. It is cancelled when the lease is
// lost. Its writes are buffered and sent once the answer is recorded; flushes
// are held back ([idempotency.StreamBuffer]) unless the route passes them on
// ([idempotency.StreamPass]). The request body has been read, and is given to
// the handler from memory.
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

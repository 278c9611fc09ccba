// Package idemadmin is the operator's page of a guard: what runs, what is of
// unknown outcome, what became of one key, and, if allowed, the forms that
// decide about it.
//
//	page, err := idemadmin.New(guard) // read-only
//	mux := http.NewServeMux()
//	mux.Handle("/ops/", authenticated(http.StripPrefix("/ops", page)))
//
//	page, err := idemadmin.New(guard,
//		idemadmin.AllowSettling(),
//		idemadmin.Operator(func(r *http.Request) string { return userOf(r) }))
//
// # It has no authentication of its own
//
// WHOEVER REACHES THE PAGE MAY DO ALL THAT IT CAN. Put it behind your own
// authentication, on a listener of its own that the world cannot reach, and let
// that check the Host field too, as a page of another site can make a browser
// on the inside reach a listener without (DNS rebinding). What the package does
// itself: posts that come from another origin are refused
// ([net/http.CrossOriginProtection]), the page has no scripts, cannot be framed,
// loads nothing from anywhere, and is never cached. A proxy in front must keep
// the Host field, by which an origin is told.
//
// End that listener last: after [idempotency.Guard.Shutdown] and the end of the
// service's own listeners, and before the store is closed. The page goes on to
// work while the guard drains, which is when somebody may want to see what still
// runs.
//
// # What it shows
//
// Never a key or a scope: a store has only their digests. Whoever knows an
// operation's scope and key types them into a form, whose values travel in a
// body and never in a URL. Recorded answers are shown with their status and
// header fields; their bodies only under [ShowAnswers]. Those of another transport
// than HTTP are shown by their [Describe]. All times are the store's, in UTC.
//
// A listing goes through the store page by page and looks at a bounded number of
// records at once, so a page may be short and not be the last.
//
// # What it decides
//
// Nothing, unless [AllowSettling] is given. Each decision is made for the attempt
// that the page showed, named by its fencing token, and is refused when another
// attempt has been started or the outcome has become known since. Who decided
// and why is asked for, logged by the guard, and given to
// [idempotency.Trace].Settled. A supplied answer is one for HTTP: for an operation
// of another transport, call [idempotency.Guard.Settle] with an answer that its
// package makes.
//
// # For programs
//
// The same as JSON, for requests whose Accept does not ask for HTML:
//
//	GET  records?operation=&state=&older_than=10m&younger_than=&scope=&id=&limit=&cursor=
//	GET  records/{id}
//	POST find                 {"operation": "…", "scope": "…", "key": "…"}
//	POST records/{id}/settle  {"decision": "release|complete|purge", "token": 1, "running": false,
//	                           "by": "…", "reason": "…",
//	                           "answer": {"status": 201, "header": {"Location": "…"}, "body": "…"}}
//
// Posts have Content-Type application/json, and answer with the record. A body is
// one object and nothing behind it: names that are unknown, repeated or spelled
// in another case are refused, as are unknown names in a query. A header field's
// value is a string or a list of strings. Under [Operator], by is left out, or is
// who is signed in. Errors are RFC 9457 problems; that of a decision that was
// refused has the record as it is now, as "record". All links are relative, so
// that the page can be mounted under any prefix.
package idemadmin

// Package proxies puts other people's reverse proxies in front of the reference
// service and breaks what is behind them. It has tests only.
//
// nginx and HAProxy send a request again, to another instance, when they get no
// answer, a late one or a server error. For a POST both have to be told so,
// because without idempotency keys that may charge twice. Behind the middleware
// it may not, and the client need not even notice:
//
//   - With waiting (a policy's Wait) the second instance waits for the first,
//     and replays its answer; or takes over when the lease of an instance that
//     died has lapsed. The client gets the one answer.
//   - Without waiting it gets 409 with code in_progress and Retry-After as long
//     as the first runs or its lease lasts: neither proxy sends a request again
//     because of a 409, so it is the client's turn, with the same key.
//   - An attempt that died with its effect marked, or under a policy that does
//     not run anything again, ends for the client with 409 and code
//     outcome_unknown. One charge at most, here as everywhere.
//
// What the configurations need is in nginx.conf.tmpl and haproxy.cfg.tmpl, with
// the reasons. The timeout of the proxy has to be longer than the wait plus the
// time that the handler takes: otherwise the proxy gives up on the instance that
// waits, too.
package proxies

// Package conformance holds the library to what must be seen from outside, over
// real sockets and against real redis-server processes. It has tests only.
//
// Each scenario has an id (K for keys, R replay, F fingerprint, C concurrency,
// L lease, O outcome, S store, Z size, A scope, P lifecycle), and the test that
// shows it carries the id in its name. A table in rows_test.go lists all of
// them; a scenario without a test stands there with the reason for its waiting,
// and the table is checked against the tests.
//
// In the tests, R is a protected POST whose handler counts its runs and answers
// 201 with Location, ETag, a JSON body that holds the counter, and a cookie.
package conformance

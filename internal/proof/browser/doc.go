// Package browser holds the tests that use the operator's page as people do: in
// a real Chromium, against the reference service in a process of its own, on a
// real Redis.
//
// Without a Chromium on the PATH (the Debian package chromium) they are skipped,
// unless REPRISE_REQUIRE_SERVERS=1 asks for a failure.
package browser

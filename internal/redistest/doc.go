// Package redistest starts real redis-server processes for tests.
//
//	func TestClaimSurvivesARestart(t *testing.T) {
//		srv := redistest.Start(t, redistest.AOF())
//		rdb := srv.Client(t)
//		// …
//		srv.Kill()
//		srv.Restart()
//	}
//
// [StartSentinel] runs a master with replicas and three sentinels,
// [StartCluster] three masters with a replica each.
//
// Every process belongs to the test that started it: it is ended by its own
// pid when the test ends, paused or not, and on Linux the kernel ends it when
// the test binary dies without cleaning up. Nothing is written outside the
// test's temporary directory, and nothing listens beyond the loopback
// interface.
//
// Without a redis-server on the PATH a test is skipped, unless
// REPRISE_REQUIRE_SERVERS=1 asks for a failure; so a continuous build cannot
// turn green by testing nothing.
//
// A package whose tests merely need some Redis shares one (see [Shared]);
// tests that pause, kill, fill or reconfigure a server start their own.
package redistest

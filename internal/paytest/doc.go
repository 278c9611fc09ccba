// Package paytest runs the reference service, examples/payments, as processes
// that tests can kill, stop and drain.
//
//	var (
//		shared   redistest.Shared
//		payments paytest.Binary
//	)
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(payments.Main(shared.Main(m))) }
//
//	func TestKilledInMidHandler(t *testing.T) {
//		p := payments.Start(t, "-redis", shared.Server(t).URL(), "-lease", "1s")
//		// … POST to p.URL …
//		p.Kill()
//		require.Len(t, p.Entries(t), 1)
//	}
//
// The service is built once for a test binary, by the go command, from the
// module that the test is built with; so it works from a nested module, too.
//
// Every process belongs to the test that started it: it is ended by its own
// pid when the test ends, stopped or not, and on Linux the kernel ends it when
// the test binary dies without cleaning up. It listens on the loopback
// interface only.
package paytest

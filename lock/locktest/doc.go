// Package locktest is the conformance suite of lock backends: run it on your own
// [lock.Backend] and it says which rules it keeps.
//
//	func TestBackend(t *testing.T) {
//		locktest.Run(t, func(t *testing.T) locktest.Harness {
//			return locktest.Harness{Backend: mylock.Open(t)}
//		})
//	}
//
// Every rule is a case of its own. A failure prints what was seen, the rule, and
// what goes wrong in an application when a backend breaks it. The last cases run
// a [lock.Locker] on the backend.
//
// A backend may be a [lock.Notifier] or not, and may give fencing tokens or not.
// Cases that need what a harness does not say it has are skipped with the reason,
// so read the skips before you trust a green run.
//
// [Check] does the same without a testing.T.
//
// The suite does not look at what is particular to a backend: what happens when
// it cannot be reached, is full, or loses what it acknowledged.
package locktest

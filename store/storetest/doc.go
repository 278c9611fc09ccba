// Package storetest is the conformance suite of the store contract: run it on
// your own [store.Store] and it says which rules of the protocol it keeps.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storetest.Harness {
//			s, err := mystore.Open(t.TempDir())
//			if err != nil {
//				t.Fatal(err)
//			}
//			t.Cleanup(func() { s.Close() })
//			return storetest.Harness{Store: s}
//		})
//	}
//
// Every rule is a case of its own. A failure prints what happened, the rule,
// and what goes wrong in an application when a store breaks it. One more case
// sends seeded random sequences of events and compares every reply, and the
// record after it, with what [store.Step] makes of them.
//
// A [Harness] may say how to move the store's clock and how to make it lose a
// record; and a store may be a [store.Notifier] and a [store.Inspector] or not.
// Cases that need what a harness or its store does not give are skipped with
// the reason, so read the skips before you trust a green run.
//
// [Check] does the same without a testing.T, for programs and for judging
// stores that are meant to fail, such as those of the package broken.
//
// The suite does not look at what is particular to a backend: what happens when
// it cannot be reached, is full, or holds a value that is not a record.
package storetest

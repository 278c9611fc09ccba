// Package memstore keeps records in the memory of one process.
//
//	records, err := memstore.New()
//	if err != nil {
//		return err
//	}
//	guard, err := idempotency.New(records)
//
// FOR ONE PROCESS ONLY. Two processes with a memory store each know nothing of
// each other: an operation that is retried on the other one runs twice. And a
// restart forgets everything, so what was retried across it runs twice, too.
// It is for tests, for examples, and for programs that run once and whose
// operations may die with them. For anything behind a load balancer, or that
// is ever redeployed while clients retry, use a shared store.
//
// Within one process it keeps every rule of the protocol, as it executes
// [store.Step] itself, and it is bounded: [MaxRecords] and [MaxBytes]. A full
// store refuses new operations and evicts nothing, so that no promise which
// was given is broken to make room.
//
// It tells waiters at once when an attempt ends ([Store.Watch]), and its records
// can be looked at without being claimed ([Store.Inspect], [Store.List]).
//
// Time is the wall clock's at construction plus what has passed since then by
// the monotonic clock. Setting the system's clock changes nothing. There is no
// goroutine, and nothing to close but the watches that were opened.
package memstore

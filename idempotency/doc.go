// Package idempotency makes operations that must not run twice safe to retry.
//
// A [Guard] stands on a store. An [Operation] is what it protects: a stable
// name and a [Policy]. [Operation.Execute] claims a key for a request, runs the
// handler under a lease that a watchdog renews, records the answer, and gives
// that same answer to every duplicate:
//
//	guard, err := idempotency.New(store) // a redisstore.Store, or a memstore.Store in tests
//	pay, err := guard.Operation("payments.create", idempotency.Policy{})
//
//	result, err := pay.Execute(ctx, idempotency.Call{Scope: tenant, Key: key, Fingerprint: digest},
//		func(ctx context.Context) idempotency.Answer {
//			// … at most once per scope, operation and key
//		})
//
// Functions need none of that by hand: [Do], [Wrap] and [Weave] take key, scope and
// fingerprint from the tags of the input, and record what the function returns.
//
// Services over HTTP use package idemhttp, which does that for an http.Handler, and
// gRPC services package idemgrpc, whose interceptors do it for methods. Inside any handler, [FromContext], [MarkEffect], [Release], [DoNotRecord],
// [OmitBody] and [RetainFor] speak to the attempt.
//
// A policy is also written as words ([ParsePolicy]), and can be changed at run time
// ([Guard.Override]), down to none. Under [KeyShadow] everything is evaluated and
// counted, and nothing blocked or replayed.
//
// What became of an operation tell [Guard.Lookup], [Guard.List] and
// [Guard.Stats]; [Guard.Settle] and a [Reconcile] callback decide what is unknown.
// Package idemadmin shows it to people.
//
// # What it promises
//
// Within the retention, all recorded answers to one operation are the same. The
// handler is started at most once per operation, unless an attempt said that
// nothing final happened (an answer of [ClassRelease] before [MarkEffect] and
// with its context alive, or [Release]), or the policy's [Orphan] mode allows
// another after one of unknown outcome. Each start has a larger fencing token
// than any before. A lease that is lost is heard: the handler's context ends
// with a cause that wraps [ErrLeaseLost] before the lease can have lapsed. If
// the store cannot say, the handler does not run. A duplicate waits for a running
// attempt only where the policy says so, and never longer.
//
// # What it does not promise
//
// That an effect happens exactly once, unless what it writes to deduplicates by
// [Info].OperationID or refuses smaller values of [Info].Token. Anything after
// the retention. Anything when the store forgets what it acknowledged; for a Redis,
// options of package redisstore and [WithLocker] narrow that. That a handler which
// ignores its context stops.
package idempotency

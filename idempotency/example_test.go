package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// ok is a handler's final answer.
func ok(body string) idempotency.Answer {
	return idempotency.Answer{
		Class:  idempotency.ClassRecord,
		Answer: store.Answer{Codec: "text", Body: []byte(body)},
	}
}

// payments returns a guard on a memory store, and an operation of it.
func payments(policy idempotency.Policy) (*idempotency.Guard, *idempotency.Operation) {
	records, err := memstore.New()
	if err != nil {
		panic(err)
	}
	guard, err := idempotency.New(records)
	if err != nil {
		panic(err)
	}
	op, err := guard.Operation("payments.create", policy)
	if err != nil {
		panic(err)
	}
	return guard, op
}

func ExampleNew() {
	records, err := memstore.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	guard, err := idempotency.New(records,
		idempotency.WithPolicy(idempotency.Policy{Retention: time.Hour}),
		idempotency.WithStoreTimeout(200*time.Millisecond),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = guard.Shutdown(context.Background()) }()

	op, err := guard.Operation("payments.create", idempotency.Policy{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(op.Name(), op.Policy().Retention, op.Policy().Lease)
	// Output: payments.create 1h0m0s 30s
}

func ExampleOperation_Execute() {
	guard, op := payments(idempotency.Policy{})
	defer func() { _ = guard.Shutdown(context.Background()) }()

	charges := 0
	charge := func(context.Context) idempotency.Answer {
		charges++
		return ok(fmt.Sprintf("charge number %d", charges))
	}
	call := idempotency.Call{Scope: "tenant 7", Key: "order 42"}
	for range 3 {
		result, err := op.Execute(context.Background(), call, charge)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v: %s\n", result.Outcome, result.Answer.Body)
	}
	// Output:
	// executed: charge number 1
	// replayed: charge number 1
	// replayed: charge number 1
}

// An attempt that fails after its effect was marked is not run again: whether
// the money moved is not known.
func ExampleMarkEffect() {
	guard, op := payments(idempotency.Policy{Orphan: idempotency.OrphanRerunUnmarked})
	defer func() { _ = guard.Shutdown(context.Background()) }()

	charge := func(ctx context.Context) idempotency.Answer {
		// Everything up to here may be done again.
		if err := idempotency.MarkEffect(ctx); err != nil {
			return idempotency.Answer{Class: idempotency.ClassRelease}
		}
		// ... the bank is called, and does not answer ...
		return idempotency.Answer{Class: idempotency.ClassUnknown}
	}
	call := idempotency.Call{Scope: "tenant 7", Key: "order 42"}
	for range 2 {
		result, err := op.Execute(context.Background(), call, charge)
		fmt.Println(result.Outcome, errors.Is(err, idempotency.ErrOutcomeUnknown))
	}
	// Output:
	// executed false
	// none true
}

func ExampleFromContext() {
	guard, op := payments(idempotency.Policy{})
	defer func() { _ = guard.Shutdown(context.Background()) }()

	call := idempotency.Call{Scope: "tenant 7", Key: "order 42"}
	_, err := op.Execute(context.Background(), call, func(ctx context.Context) idempotency.Answer {
		info, protected := idempotency.FromContext(ctx)
		fmt.Println("protected:", protected)
		fmt.Println("attempt", info.Attempt, "of", info.Operation)
		fmt.Println("key for the bank:", info.OperationID)
		fmt.Println("fencing token:", info.Token > 0)
		return ok("paid")
	})
	fmt.Println(err)
	// Output:
	// protected: true
	// attempt 1 of payments.create
	// key for the bank: 22b7192b741ebafb11e1ef75a475bbe74c22b674b933bafdc2d4f707e08b4990
	// fencing token: true
	// <nil>
}

// A handler that knows that nothing happened lets a retry run, whatever its
// answer looks like.
func ExampleRelease() {
	guard, op := payments(idempotency.Policy{})
	defer func() { _ = guard.Shutdown(context.Background()) }()

	attempts := 0
	reserve := func(ctx context.Context) idempotency.Answer {
		attempts++
		if attempts == 1 {
			idempotency.Release(ctx)
			return ok("sold out")
		}
		return ok("reserved")
	}
	call := idempotency.Call{Scope: "tenant 7", Key: "order 42"}
	for range 3 {
		result, err := op.Execute(context.Background(), call, reserve)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v: %s, recorded: %v\n", result.Outcome, result.Answer.Body, result.Recorded)
	}
	// Output:
	// executed: sold out, recorded: false
	// executed: reserved, recorded: true
	// replayed: reserved, recorded: true
}

func ExampleRetainFor() {
	guard, op := payments(idempotency.Policy{Retention: 24 * time.Hour, MinRetention: time.Hour})
	defer func() { _ = guard.Shutdown(context.Background()) }()

	call := idempotency.Call{Scope: "tenant 7", Key: "order 42"}
	_, err := op.Execute(context.Background(), call, func(ctx context.Context) idempotency.Answer {
		fmt.Println(idempotency.RetainFor(ctx, 2*time.Hour))
		fmt.Println(idempotency.RetainFor(ctx, time.Minute))
		return ok("paid")
	})
	fmt.Println(err)
	// Output:
	// <nil>
	// idempotency: retention 1m0s is not within 1h0m0s (the policy's MinRetention) and 720h0m0s
	// <nil>
}

// An answer that holds a secret is given once and never stored.
func ExampleOmitBody() {
	guard, op := payments(idempotency.Policy{})
	defer func() { _ = guard.Shutdown(context.Background()) }()

	call := idempotency.Call{Scope: "tenant 7", Key: "new API key"}
	issue := func(ctx context.Context) idempotency.Answer {
		idempotency.OmitBody(ctx)
		return ok("sk_live_4711")
	}
	result, err := op.Execute(context.Background(), call, issue)
	fmt.Println(string(result.Answer.Body), err)

	_, err = op.Execute(context.Background(), call, issue)
	if refused, ok := errors.AsType[*idempotency.Error](err); ok {
		fmt.Println(refused.Code, "because the body is", refused.Answer.Omitted)
	}
	// Output:
	// sk_live_4711 <nil>
	// result_unavailable because the body is secret
}

// A process that is about to end lets running attempts finish and refuses new
// ones.
func ExampleGuard_Shutdown() {
	guard, op := payments(idempotency.Policy{})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(guard.Shutdown(ctx))

	call := idempotency.Call{Scope: "tenant 7", Key: "order 42"}
	_, err := op.Execute(context.Background(), call, func(context.Context) idempotency.Answer {
		return ok("never")
	})
	fmt.Println(errors.Is(err, idempotency.ErrDraining))
	// Output:
	// <nil>
	// true
}

func ExamplePolicy_Override() {
	service := idempotency.Policy{Retention: time.Hour, Headers: []string{"X-Request-Cost"}}
	route := idempotency.Policy{Orphan: idempotency.OrphanRerunUnmarked, Headers: []string{"X-Balance"}}

	policy := idempotency.DefaultPolicy().Override(service).Override(route)
	fmt.Println(policy.Retention, policy.Lease, policy.Orphan, policy.Headers)
	fmt.Println(policy.Validate())

	policy = policy.Override(idempotency.Policy{Lease: 2 * time.Hour})
	fmt.Println(policy.Validate())
	// Output:
	// 1h0m0s 30s rerun-unmarked [X-Request-Cost X-Balance]
	// <nil>
	// MaxHold 15m0s is shorter than Lease 2h0m0s
	// Retention 1h0m0s is not longer than Lease 2h0m0s
}

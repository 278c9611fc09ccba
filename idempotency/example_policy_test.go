package idempotency_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store/memstore"
)

func ExampleParsePolicy() {
	policy, err := idempotency.ParsePolicy("required, retention=72h, wait=2s")
	fmt.Println(policy.Retention, policy.Wait, err)

	_, err = idempotency.ParsePolicy("required,retnetion=72h")
	fmt.Println(err)
	// Output:
	// 72h0m0s 2s <nil>
	// idempotency: policy: word 2, at byte 9, "retnetion=72h": there is no such word; the nearest is "retention="
}

func ExamplePolicy_String() {
	fmt.Println(idempotency.Policy{Key: idempotency.KeyOptional, Retention: 7 * 24 * time.Hour, Headers: []string{"X-Id"}})
	// Output: optional,retention=7d,headers=X-Id
}

func ExampleGuard_Override() {
	records, err := memstore.New()
	if err != nil {
		panic(err)
	}
	guard, err := idempotency.New(records, idempotency.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		panic(err)
	}
	defer func() { _ = guard.Shutdown(context.Background()) }()
	pay, err := guard.Operation("payments.create", idempotency.Policy{Retention: time.Hour})
	if err != nil {
		panic(err)
	}
	fmt.Println(guard.Override("payments.create", idempotency.Policy{Key: idempotency.KeyOff})) // the kill switch
	fmt.Println(pay.Policy().Key, guard.Overrides()[0].Policy)
	fmt.Println(guard.Override("payments.create", idempotency.Policy{})) // as declared again
	fmt.Println(pay.Policy().Key, len(guard.Overrides()))
	// Output:
	// <nil>
	// off off
	// <nil>
	// required 0
}

// A route in shadow: every request runs, and what would have been is counted.
func ExampleKeyRule_shadow() {
	records, err := memstore.New()
	if err != nil {
		panic(err)
	}
	guard, err := idempotency.New(records, idempotency.WithShadowTimeout(time.Second))
	if err != nil {
		panic(err)
	}
	defer func() { _ = guard.Shutdown(context.Background()) }()
	pay, err := guard.Operation("payments.create", idempotency.Policy{Key: idempotency.KeyShadow})
	if err != nil {
		panic(err)
	}
	for _, key := range []string{"order-1", "order-1", ""} {
		result, err := pay.Execute(context.Background(), idempotency.Call{Scope: "acme", Key: key},
			func(context.Context) idempotency.Answer { return recorded("paid") })
		fmt.Println(result.Outcome, err)
	}
	would := guard.Stats()[0].Shadow
	fmt.Println(would.Executed, would.Replayed, would.Refused)
	// Output:
	// unprotected <nil>
	// unprotected <nil>
	// unprotected <nil>
	// 1 1 map[idempotency_key_missing:1]
}

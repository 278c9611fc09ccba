package idempotency_test

import (
	"bytes"
	"context"
	"encoding/json"
	"expvar"
	"fmt"

	"github.com/reprise-go/reprise/idempotency"
)

// In a service: expvar.Publish("idempotency", counts), and /debug/vars has them.
// Three histograms, left out here, belong to them: duration, store and wait.
func ExampleGuard_Stats() {
	guard, op := payments(idempotency.Policy{})
	defer func() { _ = guard.Shutdown(context.Background()) }()
	counts := expvar.Func(func() any { return guard.Stats() })

	call := idempotency.Call{Scope: "tenant 7", Key: "order 42"}
	charge := func(context.Context) idempotency.Answer { return ok("paid") }
	lost := func(context.Context) idempotency.Answer {
		return idempotency.Answer{Class: idempotency.ClassUnknown}
	}
	_, _ = op.Execute(context.Background(), call, charge)
	_, _ = op.Execute(context.Background(), call, charge) // a retry
	call.Key = "order 43"
	_, _ = op.Execute(context.Background(), call, lost)
	_, _ = op.Execute(context.Background(), call, lost) // somebody has to look

	var operations []json.RawMessage
	if err := json.Unmarshal([]byte(counts.String()), &operations); err != nil {
		fmt.Println(err)
		return
	}
	numbers, _, _ := bytes.Cut(operations[0], []byte(`,"duration":`))
	var shown bytes.Buffer
	_ = json.Indent(&shown, append(numbers, '}'), "", "  ")
	fmt.Println(shown.String())
	// Output:
	// {
	//   "operation": "payments.create",
	//   "executed": 2,
	//   "replayed": 1,
	//   "unprotected": 0,
	//   "refused": {
	//     "outcome_unknown": 1
	//   },
	//   "retried": 0,
	//   "completed": 1,
	//   "released": 0,
	//   "failed": 1,
	//   "bodies_omitted": 0,
	//   "leases_lost": 0,
	//   "endings_late": 0,
	//   "endings_lost": 0,
	//   "settled": 0,
	//   "in_flight": 0,
	//   "waiting": 0
	// }
}

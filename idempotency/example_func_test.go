package idempotency_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/reprise-go/reprise/idempotency"
)

type CreatePayment struct {
	RequestID string `json:"request_id" idempotency:"key"`
	Merchant  string `json:"merchant"   idempotency:"scope"`
	Amount    int64  `json:"amount"`
	Comment   string `json:"comment"    idempotency:"-"`
}

type Payment struct {
	ID     string `json:"id"`
	Amount int64  `json:"amount"`
}

var ErrCardExpired = errors.New("the card is expired")

func createPayment(_ context.Context, in CreatePayment) (Payment, error) {
	if in.Amount > 1000 {
		return Payment{}, idempotency.Final(ErrCardExpired) // every retry gets that, too
	}
	fmt.Println("charging", in.Amount)
	return Payment{ID: "pay_1", Amount: in.Amount}, nil
}

func ExampleDo() {
	guard, _ := payments(idempotency.Policy{})
	ctx := context.Background()
	defer func() { _ = guard.Shutdown(ctx) }()
	request := idempotency.Request{
		Operation: "payments.create", Scope: "merchant-7", Key: "8e03978e-40d5", Input: map[string]int{"amount": 20},
	}
	for range 2 {
		payment, result, err := idempotency.Do(ctx, guard, request, func(ctx context.Context) (Payment, error) {
			return createPayment(ctx, CreatePayment{Amount: 20})
		})
		fmt.Println(payment, result.Outcome, err)
	}
	// Output:
	// charging 20
	// {pay_1 20} executed <nil>
	// {pay_1 20} replayed <nil>
}

func ExampleWrap() {
	guard, _ := payments(idempotency.Policy{})
	ctx := context.Background()
	defer func() { _ = guard.Shutdown(ctx) }()
	create, err := idempotency.Wrap(guard, "payments.charge", createPayment,
		idempotency.Policy{Orphan: idempotency.OrphanRerunUnmarked},
		idempotency.ErrorNames(map[string]error{"card_expired": ErrCardExpired}))
	if err != nil {
		fmt.Println(err)
		return
	}
	in := CreatePayment{RequestID: "8e03978e-40d5", Merchant: "merchant-7", Amount: 20}
	fmt.Println(create(ctx, in))
	in.Comment = "sent again" // does not count
	fmt.Println(create(ctx, in))
	in.Amount = 21
	_, err = create(ctx, in)
	fmt.Println(errors.Is(err, idempotency.ErrKeyReused))
	// Output:
	// charging 20
	// {pay_1 20} <nil>
	// {pay_1 20} <nil>
	// true
}

func ExampleWeave() {
	type Payments struct {
		Create func(context.Context, CreatePayment) (Payment, error) `idempotency:"payments.charge,required,retention=1h"`
		Get    func(context.Context, string) (Payment, error)        `idempotency:"-"`
	}
	guard, _ := payments(idempotency.Policy{})
	ctx := context.Background()
	defer func() { _ = guard.Shutdown(ctx) }()
	svc := Payments{Create: createPayment}
	if err := idempotency.Weave(guard, &svc); err != nil {
		fmt.Println(err)
		return
	}
	in := CreatePayment{RequestID: "8e03978e-40d5", Merchant: "merchant-7", Amount: 20}
	for range 2 {
		fmt.Println(svc.Create(ctx, in))
	}
	// Output:
	// charging 20
	// {pay_1 20} <nil>
	// {pay_1 20} <nil>
}

func ExampleFinal() {
	guard, _ := payments(idempotency.Policy{})
	ctx := context.Background()
	defer func() { _ = guard.Shutdown(ctx) }()
	create, err := idempotency.Wrap(guard, "payments.create", createPayment,
		idempotency.ErrorNames(map[string]error{"card_expired": ErrCardExpired}))
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		_, err := create(ctx, CreatePayment{RequestID: "8e03978e-40d5", Merchant: "merchant-7", Amount: 2000})
		_, replayed := errors.AsType[*idempotency.RecordedError](err)
		fmt.Println(err, errors.Is(err, ErrCardExpired), replayed)
	}
	// Output:
	// the card is expired true false
	// the card is expired true true
}

func ExampleWithKey() {
	guard, _ := payments(idempotency.Policy{})
	defer func() { _ = guard.Shutdown(context.Background()) }()
	charge, err := idempotency.Wrap(guard, "invoices.charge",
		func(_ context.Context, amount int) (string, error) { return fmt.Sprint("charged ", amount), nil },
		idempotency.ContextScope()) // a middleware that knows the tenant calls WithScope
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := idempotency.WithScope(context.Background(), "merchant-7")
	fmt.Println(charge(idempotency.WithKey(ctx, "invoice-2026-11"), 20))
	// Output:
	// charged 20 <nil>
}

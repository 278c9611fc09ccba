package chaos

import (
	"fmt"
	"strings"
	"time"
)

// What must not be seen in a log. Keys must not even reach Redis.
const (
	keyCanary  = "canaryInTheKey"
	bodyCanary = "canaryInTheBody"
)

// Order is one payment that somebody wants, under one key.
type Order struct {
	Number int
	// Tenant is who pays. Two tenants have each key, for payments of their own.
	Tenant string
	Key    string
	Source string
	// GRPC says how it is sent; otherwise it is by HTTP.
	GRPC bool

	copies int // that are sent at once
}

// newOrder draws an order.
func newOrder(seed uint64, number int) Order {
	d := newDice(seed, orderDice, uint64(number))
	o := Order{
		Number: number,
		Tenant: [...]string{"acme", "globex"}[number%2],
		Key:    fmt.Sprintf("%s-%d-%d", keyCanary, seed, number/2),
		GRPC:   d.chance(0.4),
		copies: 1,
	}
	for o.copies < 4 && d.chance(0.5) {
		o.copies++
	}
	o.Source = drawSource(d, o.GRPC)
	return o
}

// Amount is what is paid. No other order has it, so it tells whose effect an
// entry of the ledger is without any help of the library.
func (o Order) Amount() int64 { return int64(o.Number) + 1 }

func (o Order) description() string { return fmt.Sprintf("%s-%d", bodyCanary, o.Number) }

// Declined says that the order never has an effect.
func (o Order) Declined() bool { return o.Source == "tok_declined" }

// String names the order in a history.
func (o Order) String() string {
	via := "HTTP"
	if o.GRPC {
		via = "gRPC"
	}
	return fmt.Sprintf("key %d (%s, %s, %s, amount %d)", o.Number, o.Tenant, via, o.Source, o.Amount())
}

// drawSource draws what the payment does. Those whose outcome is unknown even
// without faults are left out.
func drawSource(d dice, grpc bool) string {
	wait := func(most time.Duration) string {
		return d.between(10*time.Millisecond, most).Round(time.Millisecond).String()
	}
	switch n := d.IntN(100); {
	case n < 8:
		return "tok_slow_" + wait(100*time.Millisecond)
	case n < 14:
		return "tok_stubborn_" + wait(100*time.Millisecond)
	case n < 17:
		return "tok_cancelled_" + wait(100*time.Millisecond)
	case n < 23:
		return "tok_declined"
	case n < 28:
		return "tok_outage_once"
	case n < 36:
		// Above some KiB a body takes another way into Redis.
		return fmt.Sprintf("tok_big_%d", 2000+d.IntN(12000))
	case n < 39 && !grpc:
		return "tok_stream_3"
	case n < 41 && !grpc:
		return "tok_headers"
	}
	return "tok_visa"
}

// isSilent says that text has nothing in it that only clients may see.
func isSilent(text string) bool {
	return !strings.Contains(text, keyCanary) && !strings.Contains(text, bodyCanary)
}

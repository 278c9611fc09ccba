package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// charge is one payment on its way.
type charge struct {
	*service
	payment payment
	source  source
	arg     argument
	// following says that the same call has charged something before this.
	following bool
}

// take charges the card: it marks the effect, and writes the ledger.
func (c *charge) take(ctx context.Context) error {
	return c.effect(ctx, c.entry(), c.payment)
}

func (c *charge) entry() entry {
	return entry{Kind: kindCharge, Payment: c.payment.ID, Amount: c.payment.Amount}
}

// source is a test source: like a card processor's test cards, it decides what
// happens.
type source struct {
	// pay charges, or says why not. Any transport calls it.
	pay func(context.Context, *charge) error
	// show is the answer over HTTP once pay returned nil, tell that over gRPC.
	show shower
	tell teller
	// parse reads the argument of a source whose name ends in an underscore.
	parse func(string) (argument, error)
}

// argument is what follows such a name.
type argument struct {
	wait  time.Duration
	count int
}

// sources are the test sources by their names.
type sources map[string]source

func testSources() sources {
	return sources{
		"tok_visa":               {pay: pay, show: showCreated, tell: tellPayment},
		"tok_declined":           {pay: refuse(errDeclined)},
		"tok_limit":              {pay: refuse(errLimited)},
		"tok_outage":             {pay: refuse(errOutage)},
		"tok_outage_once":        {pay: payOutageOnce, show: showCreated, tell: tellPayment},
		"tok_slow_":              {pay: paySlow, show: showCreated, tell: tellPayment, parse: duration},
		"tok_stubborn_":          {pay: payStubborn, show: showCreated, tell: tellPayment, parse: duration},
		"tok_cancelled_":         {pay: payCancelled, show: showCreated, tell: tellPayment, parse: duration},
		"tok_ambiguous":          {pay: payAmbiguous},
		"tok_panic":              {pay: payPanic},
		"tok_panic_after_charge": {pay: payThenPanic},
		"tok_big_":               {pay: pay, show: showBig, tell: tellBig, parse: count},
		"tok_binary":             {pay: pay, show: showBinary, tell: tellPayment},
		"tok_cookie":             {pay: pay, show: showCookie, tell: tellCost},
		"tok_headers":            {pay: pay, show: showHeaders, tell: tellPayment},
		"tok_abort":              {pay: pay, show: showHalf, tell: tellNothing},
		"tok_empty":              {pay: pay, show: showEmpty, tell: tellPayment},
		"tok_early_hints":        {pay: pay, show: showEarlyHints, tell: tellPayment},
		"tok_stream_":            {pay: pay, show: showStream, tell: tellPayment, parse: count},
	}
}

// find returns the source of a name, with its argument.
func (s sources) find(name string) (source, argument, bool) {
	if found, ok := s[name]; ok && found.parse == nil {
		return found, argument{}, true
	}
	cut := strings.LastIndexByte(name, '_') + 1
	found, ok := s[name[:cut]]
	if !ok || found.parse == nil {
		return source{}, argument{}, false
	}
	arg, err := found.parse(name[cut:])
	return found, arg, err == nil
}

func duration(s string) (argument, error) {
	d, err := time.ParseDuration(s)
	return argument{wait: d}, err
}

const maxCount = 64 << 20

func count(s string) (argument, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if n > maxCount {
		err = strconv.ErrRange
	}
	return argument{count: int(n)}, err
}

func pay(ctx context.Context, c *charge) error { return c.take(ctx) }

func refuse(why failure) func(context.Context, *charge) error {
	return func(context.Context, *charge) error { return why }
}

func payOutageOnce(ctx context.Context, c *charge) error {
	if info, ok := idempotency.FromContext(ctx); ok && info.Attempt == 1 {
		return errOutage
	}
	return c.take(ctx)
}

// paySlow heeds its context, and knows that nothing happened when it gives up,
// unless there was something before it.
func paySlow(ctx context.Context, c *charge) error {
	if !sleep(ctx, c.arg.wait) {
		if !c.following {
			idempotency.Release(ctx)
		}
		return errInterrupted
	}
	return c.take(ctx)
}

// payStubborn marks first and does not heed its context, so that it charges
// however late it is. The ledger line carries its token, by which a ledger that
// refuses smaller ones would fence it off.
func payStubborn(ctx context.Context, c *charge) error {
	if err := c.mark(ctx); err != nil {
		return err
	}
	time.Sleep(c.arg.wait)
	return c.record(ctx, c.entry(), c.payment)
}

// payCancelled heeds its context and says nothing of what happened.
func payCancelled(ctx context.Context, c *charge) error {
	if !sleep(ctx, c.arg.wait) {
		return errGaveUp
	}
	return c.take(ctx)
}

// payAmbiguous charges, and then cannot say so.
func payAmbiguous(ctx context.Context, c *charge) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	return errAmbiguous
}

func payPanic(context.Context, *charge) error { panic("tok_panic") }

func payThenPanic(ctx context.Context, c *charge) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	panic("tok_panic_after_charge")
}

// sleep reports whether the whole time passed before the context ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Package consumer takes payments from a JetStream stream, which delivers each
// message at least once, and makes each of them once.
//
// The message carries its idempotency key: the Nats-Msg-Id that its producer gave
// it, which stays the same when the producer publishes again and when the stream
// delivers again. JetStream's own deduplication looks back two minutes and knows
// nothing of a consumer that died between its work and its acknowledgement.
//
// The acknowledgement comes last, and says what is true by then: the payment is
// recorded. A consumer that dies before finds the record when the message comes
// again, and only acknowledges.
package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/reprise-go/reprise/idempotency"
)

// Order is what a message asks for.
type Order struct {
	ID       string `json:"-"        idempotency:"key"` // the message's id
	Merchant string `json:"merchant" idempotency:"scope"`
	Amount   int64  `json:"amount"`
}

// Receipt is what came of it.
type Receipt struct {
	Amount int64 `json:"amount"`
}

// Pay makes a payment.
type Pay func(context.Context, Order) (Receipt, error)

// Protect makes a payment of each order once. The policy belongs to consumers: a
// message that comes again while it is being worked on waits for a moment rather than
// going back to the stream at once; and one whose consumer died is worked on again
// unless that had marked the payment as begun.
func Protect(guard *idempotency.Guard, pay Pay) (Pay, error) {
	return idempotency.Wrap(guard, "payments.consume", pay, idempotency.Policy{
		Wait:      5 * time.Second,
		Orphan:    idempotency.OrphanRerunUnmarked,
		Retention: 7 * 24 * time.Hour, // longer than the stream keeps its messages
	})
}

// Verdict is what becomes of a message.
type Verdict string

// The verdicts.
const (
	Acknowledged Verdict = "acknowledged" // it is done, or never will be
	Again        Verdict = "again"        // the stream delivers it once more
	Parked       Verdict = "parked"       // no machine can decide: somebody has to look
)

// Handle works on one message and tells the stream.
func Handle(ctx context.Context, pay Pay, msg jetstream.Msg) (Verdict, error) {
	order := Order{ID: msg.Headers().Get(jetstream.MsgIDHeader)}
	if err := json.Unmarshal(msg.Data(), &order); err != nil {
		return Parked, errors.Join(err, msg.TermWithReason("the message is no order"))
	}
	_, err := pay(ctx, order)
	verdict, after := judge(err)
	switch verdict {
	case Acknowledged:
		return verdict, errors.Join(err, msg.DoubleAck(ctx))
	case Again:
		return verdict, errors.Join(err, msg.NakWithDelay(after))
	default:
		return verdict, errors.Join(err, msg.TermWithReason(fmt.Sprint("parked: ", err)))
	}
}

// judge says what an error means to the stream. An error that is recorded is an
// answer like any other: delivered again, the message would get the same.
func judge(err error) (verdict Verdict, after time.Duration) {
	refusal, refused := errors.AsType[*idempotency.Error](err)
	switch {
	case err == nil, idempotency.IsFinal(err):
		return Acknowledged, 0
	case !refused: // nothing final happened
		return Again, time.Second
	}
	switch refusal.Code {
	case idempotency.ErrInProgress, idempotency.ErrStoreUnavailable, idempotency.ErrDraining,
		idempotency.ErrOverloaded, idempotency.ErrScopeBusy, idempotency.ErrNotStarted, idempotency.ErrLeaseLost:
		return Again, max(refusal.RetryAfter, time.Second)
	default:
		// Its outcome is unknown, or it is another order under a used id, or it has
		// no id: once more would change nothing.
		return Parked, 0
	}
}

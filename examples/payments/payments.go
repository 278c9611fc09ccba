package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// payment is a charge as clients see it.
type payment struct {
	ID          string `json:"id"`
	Amount      int64  `json:"amount"`
	Currency    string `json:"currency"`
	Status      string `json:"status"`
	Description string `json:"description"`
}

// refund is money given back.
type refund struct {
	ID        string `json:"id"`
	PaymentID string `json:"payment_id"`
	Amount    int64  `json:"amount"`
}

// order is what a client asks to be paid. It has no idempotency tags, nor have the
// other requests: the key is in the header, the scope comes from authentication, and
// all that a client says counts when a retry is compared.
type order struct {
	Amount      int64  `json:"amount"`
	Currency    string `json:"currency"`
	Source      string `json:"source"`
	Description string `json:"description"`
}

// refundOrder is what a client asks to be paid back.
type refundOrder struct {
	PaymentID string `json:"-"      path:"id"`
	Amount    int64  `json:"amount"`
}

// change is what a client asks to have changed of a payment.
type change struct {
	PaymentID   string  `json:"-"           path:"id"`
	Description *string `json:"description"`
}

// service is the business: payments, and the ledger that they are in. All
// transports share one. It knows of idempotency only where it is about to move
// money.
type service struct {
	ledger   *ledger
	sources  sources
	instance string
	log      *slog.Logger
}

func newService(l *ledger, log *slog.Logger) *service {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return &service{
		ledger:   l,
		sources:  testSources(),
		instance: fmt.Sprintf("%s-%d", host, os.Getpid()),
		log:      log,
	}
}

// charge takes what is asked for, as the order's source decides.
func (s *service) charge(ctx context.Context, o order) (*charge, error) {
	c, err := s.newCharge(o)
	if err != nil {
		return nil, err
	}
	return c, c.source.pay(ctx, c)
}

// newCharge checks an order. Nothing has been charged yet.
func (s *service) newCharge(o order) (*charge, error) {
	if o.Amount <= 0 || !currency(o.Currency) {
		return nil, invalid("amount is a positive integer in minor units, currency three capital letters.")
	}
	source, arg, ok := s.sources.find(o.Source)
	if !ok {
		return nil, errUnknownSource
	}
	return &charge{service: s, source: source, arg: arg, payment: payment{
		ID:          "pay_" + rand.Text(),
		Amount:      o.Amount,
		Currency:    o.Currency,
		Status:      "succeeded",
		Description: o.Description,
	}}, nil
}

// refund gives back a part of a payment, or all of it.
func (s *service) refund(ctx context.Context, o refundOrder) (refund, error) {
	if o.Amount <= 0 {
		return refund{}, invalid("amount is a positive integer in minor units.")
	}
	p, err := s.find(ctx, o.PaymentID)
	if err != nil {
		return refund{}, err
	}
	given := refund{ID: "re_" + rand.Text(), PaymentID: p.ID, Amount: o.Amount}
	return given, s.effect(ctx, entry{Kind: kindRefund, Payment: p.ID, Amount: o.Amount}, given)
}

// describe changes what a payment is said to be for.
func (s *service) describe(ctx context.Context, c change) (payment, error) {
	if c.Description == nil {
		return payment{}, invalid("description is missing.")
	}
	p, err := s.find(ctx, c.PaymentID)
	if err != nil {
		return payment{}, err
	}
	p.Description = *c.Description
	return p, s.effect(ctx, entry{Kind: kindUpdate, Payment: p.ID}, p)
}

// find returns a payment if it is the caller's.
func (s *service) find(ctx context.Context, id string) (payment, error) {
	p, found, err := s.ledger.Payment(tenantFrom(ctx), id)
	if err == nil && !found {
		err = errNotFound
	}
	return p, err
}

// effect moves money: it marks the attempt, so that a crash from here on is an
// unknown outcome instead of a second run, and writes the ledger.
func (s *service) effect(ctx context.Context, e entry, data any) error {
	if err := s.mark(ctx); err != nil {
		return err
	}
	return s.record(ctx, e, data)
}

// mark fails when nothing may be charged any more, because the lease is lost or
// because the store cannot say that it is not.
func (s *service) mark(ctx context.Context) error {
	if err := idempotency.MarkEffect(ctx); err != nil {
		s.log.Warn("effect not marked, nothing charged", "error", err)
		return errNotMarked
	}
	return nil
}

// record writes one line of the ledger, with the fencing token of the attempt.
func (s *service) record(ctx context.Context, e entry, data any) error {
	if info, ok := idempotency.FromContext(ctx); ok {
		e.KeyHash = info.OperationID[:16]
		e.Token = info.Token
	}
	e.Instance = s.instance
	e.At = time.Now().UTC()
	return s.ledger.Append(e, tenantFrom(ctx), data)
}

// failureOf says in the service's words why a request failed. What is no failure
// of its own is logged, and the client learns nothing of it.
func (s *service) failureOf(where string, err error) failure {
	f, ok := errors.AsType[failure](err)
	if unread, is := errors.AsType[interface {
		error
		HTTPStatus() int
	}](err); is && !ok { // the request could not be decoded
		return failure{status: unread.HTTPStatus(), code: "invalid_request", detail: unread.Error()}
	}
	if !ok {
		s.log.Error("request failed", "at", where, "error", err)
		return errInternal
	}
	return f
}

func currency(s string) bool {
	return len(s) == 3 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
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

// service is the business: payments, and the ledger that they are in. It knows
// of idempotency only where it is about to move money.
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

func (s *service) createPayment(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Amount      int64  `json:"amount"`
		Currency    string `json:"currency"`
		Source      string `json:"source"`
		Description string `json:"description"`
	}
	if err := decode(w, r, &body); err != nil {
		writeProblem(w, err)
		return
	}
	if body.Amount <= 0 || !currency(body.Currency) {
		writeProblem(w, invalid("amount is a positive integer in minor units, currency three capital letters."))
		return
	}
	source, arg, ok := s.sources.find(body.Source)
	if !ok {
		writeProblem(w, errUnknownSource)
		return
	}
	c := &charge{service: s, arg: arg, payment: payment{
		ID:          "pay_" + rand.Text(),
		Amount:      body.Amount,
		Currency:    body.Currency,
		Status:      "succeeded",
		Description: body.Description,
	}}
	if err := source.pay(r.Context(), c); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Location", "/v1/payments/"+c.payment.ID)
	w.Header().Set("ETag", etag(c.payment))
	source.show(w, c)
}

func (s *service) createRefund(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Amount int64 `json:"amount"`
	}
	if err := decode(w, r, &body); err != nil {
		writeProblem(w, err)
		return
	}
	if body.Amount <= 0 {
		writeProblem(w, invalid("amount is a positive integer in minor units."))
		return
	}
	p, err := s.find(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	given := refund{ID: "re_" + rand.Text(), PaymentID: p.ID, Amount: body.Amount}
	effect := entry{Kind: kindRefund, Payment: p.ID, Amount: given.Amount}
	if err := s.effect(r.Context(), effect, given); err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, given)
}

func (s *service) updatePayment(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Description *string `json:"description"`
	}
	if err := decode(w, r, &body); err != nil {
		writeProblem(w, err)
		return
	}
	if body.Description == nil {
		writeProblem(w, invalid("description is missing."))
		return
	}
	p, err := s.find(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p.Description = *body.Description
	if err := s.effect(r.Context(), entry{Kind: kindUpdate, Payment: p.ID}, p); err != nil {
		s.fail(w, r, err)
		return
	}
	showPayment(w, http.StatusOK, p)
}

func (s *service) readPayment(w http.ResponseWriter, r *http.Request) {
	p, err := s.find(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	showPayment(w, http.StatusOK, p)
}

func (s *service) listPayments(w http.ResponseWriter, r *http.Request) {
	list, err := s.ledger.Payments(tenantFrom(r.Context()))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"payments": list})
}

func (s *service) listLedger(w http.ResponseWriter, r *http.Request) {
	list, err := s.ledger.Entries(tenantFrom(r.Context()))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"entries": list})
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

// find returns the payment that the path names, if it is the caller's.
func (s *service) find(r *http.Request) (payment, error) {
	p, found, err := s.ledger.Payment(tenantFrom(r.Context()), r.PathValue("id"))
	if err == nil && !found {
		err = errNotFound
	}
	return p, err
}

// fail answers with an error; what is not a failure of its own is logged.
func (s *service) fail(w http.ResponseWriter, r *http.Request, err error) {
	if _, ok := errors.AsType[failure](err); !ok {
		s.log.Error("request failed", "path", r.URL.Path, "error", err)
	}
	writeProblem(w, err)
}

func showPayment(w http.ResponseWriter, status int, p payment) {
	w.Header().Set("ETag", etag(p))
	writeJSON(w, status, p)
}

// etag changes with the payment's content.
func etag(p payment) string {
	sum := sha256.Sum256(encode(p))
	return fmt.Sprintf(`"%x"`, sum[:8])
}

const maxRequest = 1 << 20

// decode reads a body of exactly one JSON object with known members.
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return invalid("The body is not the JSON object that is expected here.")
	}
	if _, err := d.Token(); err != io.EOF {
		return invalid("There is something after the JSON object.")
	}
	return nil
}

func currency(s string) bool {
	return len(s) == 3 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

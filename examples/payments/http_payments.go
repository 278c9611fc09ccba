package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

func (s *service) createPayment(w http.ResponseWriter, r *http.Request) {
	var body order
	if err := decode(w, r, &body); err != nil {
		s.fail(w, r, err)
		return
	}
	c, err := s.newCharge(body)
	if err == nil {
		err = c.source.pay(r.Context(), c)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Location", "/v1/payments/"+c.payment.ID)
	w.Header().Set("ETag", etag(c.payment))
	c.source.show(w, c)
}

func (s *service) createRefund(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Amount int64 `json:"amount"`
	}
	if err := decode(w, r, &body); err != nil {
		s.fail(w, r, err)
		return
	}
	given, err := s.refund(r.Context(), r.PathValue("id"), body.Amount)
	if err != nil {
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
		s.fail(w, r, err)
		return
	}
	if body.Description == nil {
		s.fail(w, r, invalid("description is missing."))
		return
	}
	p, err := s.describe(r.Context(), r.PathValue("id"), *body.Description)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	showPayment(w, http.StatusOK, p)
}

func (s *service) readPayment(w http.ResponseWriter, r *http.Request) {
	p, err := s.find(r.Context(), r.PathValue("id"))
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

// fail answers with an error.
func (s *service) fail(w http.ResponseWriter, r *http.Request, err error) {
	writeProblem(w, s.failureOf(r.URL.Path, err))
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

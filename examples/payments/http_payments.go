package main

import (
	"crypto/sha256"
	"fmt"
	"net/http"
)

// ServeHTTP answers to a charge that was made, as its source shows it.
func (c *charge) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Location", "/v1/payments/"+c.payment.ID)
	w.Header().Set("ETag", etag(c.payment))
	c.source.show(w, c)
}

// HTTPHeader is what goes with a payment as an answer.
func (p payment) HTTPHeader() http.Header { return http.Header{"ETag": {etag(p)}} }

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

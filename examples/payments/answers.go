package main

import (
	"fmt"
	"net/http"
	"strings"
)

// shower writes the answer to a charge that was made. Location is set already.
type shower func(w http.ResponseWriter, c *charge)

func showCreated(w http.ResponseWriter, c *charge) {
	showPayment(w, http.StatusCreated, c.payment)
}

// showBig pads the answer to the asked number of bytes, to the byte where the
// payment itself is not longer.
func showBig(w http.ResponseWriter, c *charge) {
	padded := struct {
		payment
		Padding string `json:"padding"`
	}{payment: c.payment}
	padded.Padding = strings.Repeat("x", max(0, c.arg.count-len(encode(padded))))
	writeJSON(w, http.StatusCreated, padded)
}

func showBinary(w http.ResponseWriter, _ *charge) {
	body := make([]byte, 256)
	for i := range body {
		body[i] = byte(i)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(body)
}

// showCookie sets two fields that are not replayed: one that is never kept, and
// one that is not on the route's list.
func showCookie(w http.ResponseWriter, c *charge) {
	http.SetCookie(w, &http.Cookie{Name: "session", Value: c.payment.ID, HttpOnly: true, Path: "/"})
	w.Header().Set("X-Request-Cost", "7")
	showCreated(w, c)
}

func showHeaders(w http.ResponseWriter, c *charge) {
	w.Header().Add("Link", `</v1/payments>; rel="collection"`)
	w.Header().Add("Link", `</v1/ledger>; rel="related"; title="ledger, whole"`)
	w.Header().Set("Content-Disposition", `attachment; filename="receipt, \"first\" copy.json"`)
	w.Header().Set("Content-Language", "en")
	showCreated(w, c)
}

// showHalf breaks off in the middle of the answer.
func showHalf(w http.ResponseWriter, c *charge) {
	body := encode(c.payment)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(body[:len(body)/2])
	panic(http.ErrAbortHandler)
}

func showEmpty(w http.ResponseWriter, _ *charge) {
	w.WriteHeader(http.StatusNoContent)
}

func showEarlyHints(w http.ResponseWriter, c *charge) {
	w.Header().Set("Link", `</v1/payments>; rel="preload"`)
	w.WriteHeader(http.StatusEarlyHints)
	showCreated(w, c)
}

func showStream(w http.ResponseWriter, c *charge) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusCreated)
	flusher := http.NewResponseController(w)
	for i := range c.arg.count {
		_, _ = fmt.Fprintf(w, "{\"line\":%d,\"payment\":%q}\n", i+1, c.payment.ID)
		_ = flusher.Flush() // held back under -stream buffer
	}
}

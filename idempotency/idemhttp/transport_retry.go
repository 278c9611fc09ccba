package idemhttp

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Retry tells an [OnRetry] hook about a try that is followed by another one.
// There is no key in it, and no address beyond the host's: both may be secret.
type Retry struct {
	// Method and Host are the request's.
	Method string
	Host   string
	// Attempt is the number of the try that did not do, from 1.
	Attempt int
	// Status is what was answered to it; 0 if nothing was. Mark is the answer's
	// Idempotency-Status.
	Status int
	Mark   string
	// Err is base's error, or nil.
	Err error
	// Wait is the pause before the next try.
	Wait time.Duration
}

func retryOf(req *http.Request, n int, resp *http.Response, err error, wait time.Duration) Retry {
	r := Retry{Method: req.Method, Host: hostOf(req), Attempt: n, Err: err, Wait: wait}
	if resp != nil {
		r.Status, r.Mark = resp.StatusCode, resp.Header.Get(headerStatus)
	}
	return r
}

func hostOf(req *http.Request) string {
	if req.Host == "" && req.URL != nil {
		return req.URL.Host
	}
	return req.Host
}

// again says whether there is another try after the n-th, and how long to wait
// for it.
func (t *Transport) again(ctx context.Context, n int, resp *http.Response, err error) (time.Duration, bool) {
	if n >= t.opts.attempts || ctx.Err() != nil || isPermanent(err) {
		return 0, false
	}
	wait := t.backoff(n)
	if err == nil {
		if resp == nil || !retryable(resp, t.opts.statuses) { // nil is base's mistake, for http.Client to tell
			return 0, false
		}
		asked := retryAfter(resp.Header, time.Now())
		if asked > t.opts.maxRetryAfter {
			return 0, false
		}
		if asked > 0 { // never earlier, and not all clients in the same instant
			wait = asked + rand.N(t.opts.backoffMin)
		}
	}
	deadline, bounded := ctx.Deadline()
	return wait, !bounded || time.Until(deadline) > wait
}

// isPermanent knows the errors that every try gets.
func isPermanent(err error) bool {
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	return untrusted || errors.Is(err, http.ErrSchemeMismatch)
}

// retryable says whether the same request under the same key may fare better.
// The mark decides before the status: what is recorded stays, and a request
// that was sent without protection is not protected the second time either.
func retryable(resp *http.Response, more []int) bool {
	_, told := parseRetryAfter(resp.Header, time.Now())
	switch resp.Header.Get(headerStatus) {
	case markConflict:
		return true
	case markUnknown, markRejected:
		// The problems that are retryable say when: see [problems].
		return told && (resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests)
	case markExecuted, markReplayed, markMismatch, markUnavailable, markIgnored, markUnprotected:
		return false
	}
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusTooManyRequests:
		return told || slices.Contains(more, resp.StatusCode)
	}
	return slices.Contains(more, resp.StatusCode)
}

// backoff returns the pause after the n-th try: between half and all of the
// minimum, doubled with each try up to the maximum.
func (t *Transport) backoff(n int) time.Duration {
	d := t.opts.backoffMin
	for range n - 1 {
		d = min(2*d, t.opts.backoffMax)
	}
	return d/2 + rand.N(d/2+1)
}

// maxWait bounds what a Retry-After is taken for. A larger one is no wait that
// anybody sits out, and would overflow.
const maxWait = 365 * 24 * time.Hour

// retryAfter is [parseRetryAfter] without the difference between none and 0.
func retryAfter(h http.Header, now time.Time) time.Duration {
	d, _ := parseRetryAfter(h, now)
	return d
}

// parseRetryAfter reads Retry-After (RFC 9110, 10.2.3): seconds, or a date,
// which is taken relative to the answer's own Date, since the client's clock may
// be off, or else to now. A date that has passed is 0, a wait of more than a
// year is a year. False if there is none that can be read.
func parseRetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	value := strings.Trim(h.Get("Retry-After"), " \t")
	if isDigits(value) {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(maxWait/time.Second) { // out of range
			return maxWait, true
		}
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), maxWait), true
}

func isDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}

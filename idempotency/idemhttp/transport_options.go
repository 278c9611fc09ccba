package idemhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/reprise-go/reprise/internal/keysyntax"
)

// TransportOption configures a [Transport].
type TransportOption func(*transportOptions) error

type transportOptions struct {
	header        string
	quoted        bool
	draw          func(*http.Request) (string, error)
	attempts      int
	backoffMin    time.Duration
	backoffMax    time.Duration
	maxRetryAfter time.Duration
	maxBody       int64
	statuses      []int
	onRetry       func(context.Context, Retry)
}

func defaultTransportOptions() transportOptions {
	return transportOptions{
		header:        headerKey,
		draw:          func(*http.Request) (string, error) { return keysyntax.Draw(), nil },
		attempts:      4,
		backoffMin:    200 * time.Millisecond,
		backoffMax:    5 * time.Second,
		maxRetryAfter: 30 * time.Second,
		maxBody:       1 << 20,
	}
}

// SendKeyIn names the request header field that carries the key. Default
// Idempotency-Key. A request without this field whose Idempotency-Key is set, by
// [SetKey] for instance, has that key sent in both fields.
func SendKeyIn(header string) TransportOption {
	return func(o *transportOptions) error {
		if !isToken(header) || notForKeys(header) {
			return fmt.Errorf("SendKeyIn: %q is not a header field name, or has another meaning", header)
		}
		o.header = http.CanonicalHeaderKey(header)
		return nil
	}
}

// SendQuotedKeys sends keys as RFC 9651 strings in double quotes, as the IETF
// draft on the Idempotency-Key header demands. By default only keys with spaces,
// quotes, commas, semicolons or backslashes are, and others are sent bare. A key
// in a request's own header is sent as it is written there.
func SendQuotedKeys() TransportOption {
	return func(o *transportOptions) error { o.quoted = true; return nil }
}

// SendKeyFrom sets where the key of a request comes from that has none in its header
// or context, instead of a fresh UUID. It is called once per RoundTrip, from
// any number of goroutines; it must not read the body or change the request. An
// error or an empty key fails the RoundTrip, and nothing is sent.
func SendKeyFrom(key func(*http.Request) (string, error)) TransportOption {
	return func(o *transportOptions) error {
		if key == nil {
			return errors.New("SendKeyFrom: the function is nil")
		}
		o.draw = key
		return nil
	}
}

// MaxAttempts bounds how often a request is sent, the first time included. 1 to
// 100; 1 leaves all retries to the caller. Default 4.
//
// It bounds net/http's own resending as well, with one exception: over HTTP/2 a
// request without a body is sent again when the server resets its stream as
// refused, not processed, or malformed (REFUSED_STREAM, GOAWAY, PROTOCOL_ERROR).
// The price: a kept connection that turns out dead costs a try.
func MaxAttempts(n int) TransportOption {
	return func(o *transportOptions) error {
		if n < 1 || n > 100 {
			return fmt.Errorf("MaxAttempts: %d is not within 1 and 100", n)
		}
		o.attempts = n
		return nil
	}
}

// Backoff sets the pauses between tries where no Retry-After says otherwise: the
// first at most least, then doubled with each try, up to most; each is drawn
// between half and all of that. 1 ms to 1 h. Default 200 ms and 5 s.
func Backoff(least, most time.Duration) TransportOption {
	return func(o *transportOptions) error {
		if least < time.Millisecond || most < least || most > time.Hour {
			return fmt.Errorf("Backoff: %v and %v: 1ms <= least <= most <= 1h does not hold", least, most)
		}
		o.backoffMin, o.backoffMax = least, most
		return nil
	}
}

// MaxRetryAfter is the longest Retry-After that is waited for; an answer that
// asks for more is returned at once. 0 to 24 h; 0 waits for none. Default 30 s.
func MaxRetryAfter(d time.Duration) TransportOption {
	return func(o *transportOptions) error {
		if d < 0 || d > 24*time.Hour {
			return fmt.Errorf("MaxRetryAfter: %v is not within 0 and 24h", d)
		}
		o.maxRetryAfter = d
		return nil
	}
}

// MaxResendBody bounds in bytes what is kept in memory of a request body without
// GetBody, per request, so that it can be sent again. A longer body is sent
// once. 0 to 512 MiB. Default 1 MiB.
func MaxResendBody(n int64) TransportOption {
	return func(o *transportOptions) error {
		if n < 0 || n > 512<<20 {
			return fmt.Errorf("MaxResendBody: %d is not within 0 and 512 MiB", n)
		}
		o.maxBody = n
		return nil
	}
}

// RetryStatus adds statuses after which a request is sent again, such as 500
// where a service's server errors pass, or 409 where that is how a service
// without Idempotency-Status tells that a request is running. 400 to 599. They
// do not count for an answer that is marked as recorded, refused or sent
// without protection.
func RetryStatus(statuses ...int) TransportOption {
	return func(o *transportOptions) error {
		for _, status := range statuses {
			if status < 400 || status > 599 {
				return fmt.Errorf("RetryStatus: %d is not within 400 and 599", status)
			}
		}
		o.statuses = append(o.statuses, statuses...)
		return nil
	}
}

// OnRetry sets a hook that is called before each pause, with the request's
// context: for logs and metrics. Every try but the first is announced to it. It is called from any number of goroutines and
// holds up the retry.
func OnRetry(hook func(context.Context, Retry)) TransportOption {
	return func(o *transportOptions) error {
		if hook == nil {
			return errors.New("OnRetry: the function is nil")
		}
		o.onRetry = hook
		return nil
	}
}

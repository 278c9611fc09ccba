package idemhttp_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

func TestTransportRetries(t *testing.T) {
	t.Parallel()
	type answer = func(*http.Request) (*http.Response, error)
	tests := []struct {
		name   string
		answer answer
		opts   []idemhttp.TransportOption
		again  bool
	}{
		{name: "a connection error", answer: cut, again: true},
		{name: "someone else's context", answer: failing(context.DeadlineExceeded), again: true},
		{name: "a certificate that is not trusted", answer: failing(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}})},
		{name: "a server without TLS", answer: failing(http.ErrSchemeMismatch)},

		{name: "502 of a gateway", answer: answered(502), again: true},
		{name: "503 of a gateway", answer: answered(503), again: true},
		{name: "504 of a gateway", answer: answered(504), again: true},
		{name: "500", answer: answered(500)},
		{name: "500 if told to", answer: answered(500), opts: []idemhttp.TransportOption{idemhttp.RetryStatus(500)}, again: true},
		{name: "409 of another kind of service", answer: answered(409)},
		{name: "409 of another kind of service if told to", answer: answered(409), opts: []idemhttp.TransportOption{idemhttp.RetryStatus(409)}, again: true},
		{name: "429 without Retry-After", answer: answered(429)},
		{name: "429 with Retry-After", answer: answered(429, "Retry-After: 1"), again: true},
		{name: "501", answer: answered(501)},
		{name: "425", answer: answered(425)},
		{name: "400", answer: answered(400)},
		{name: "422", answer: answered(422)},
		{name: "201", answer: answered(201)},
		{name: "101", answer: answered(101)},

		{name: "conflict as 409", answer: answered(409, "Idempotency-Status: conflict", "Retry-After: 1"), again: true},
		{name: "conflict as 425", answer: answered(425, "Idempotency-Status: conflict", "Retry-After: 1"), again: true},
		{name: "conflict as 503", answer: answered(503, "Idempotency-Status: conflict", "Retry-After: 1"), again: true},
		{name: "store unavailable, draining, overloaded", answer: answered(503, "Idempotency-Status: rejected", "Retry-After: 1"), again: true},
		{name: "scope busy", answer: answered(429, "Idempotency-Status: rejected", "Retry-After: 1"), again: true},
		{name: "lease lost", answer: answered(503, "Idempotency-Status: unknown", "Retry-After: 1"), again: true},
		{name: "outcome unknown", answer: answered(409, "Idempotency-Status: unknown")},
		{name: "outcome unknown though told to", answer: answered(409, "Idempotency-Status: unknown"), opts: []idemhttp.TransportOption{idemhttp.RetryStatus(409)}},
		{name: "result unavailable", answer: answered(409, "Idempotency-Status: unavailable")},
		{name: "key reused", answer: answered(422, "Idempotency-Status: mismatch")},
		{name: "key missing or invalid", answer: answered(400, "Idempotency-Status: rejected")},
		{name: "record unreadable", answer: answered(503, "Idempotency-Status: rejected")},
		{name: "replay denied", answer: answered(403, "Idempotency-Status: rejected")},
		{name: "scope missing", answer: answered(500, "Idempotency-Status: rejected")},
		{name: "scope missing though told to", answer: answered(500, "Idempotency-Status: rejected"), opts: []idemhttp.TransportOption{idemhttp.RetryStatus(500)}},

		{name: "a success that is not recorded", answer: answered(201, "Idempotency-Status: unrecorded")},
		{name: "500 that is not recorded", answer: answered(500, "Idempotency-Status: unrecorded")},
		{name: "503 that is not recorded", answer: answered(503, "Idempotency-Status: unrecorded"), again: true},
		{name: "503 that is recorded", answer: answered(503, "Idempotency-Status: executed", "Retry-After: 1")},
		{name: "503 that is replayed", answer: answered(503, "Idempotency-Status: replayed")},
		{name: "503 without protection", answer: answered(503, "Idempotency-Status: unprotected", "Retry-After: 1")},
		{name: "503 of a route that ignores keys", answer: answered(503, "Idempotency-Status: ignored")},
		{name: "503 with a mark of later days", answer: answered(503, "Idempotency-Status: new"), again: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				base := &upstream{answers: []answer{tt.answer, created}}
				resp, err := newTransport(t, base, tt.opts...).RoundTrip(clientRequest(t, "POST", "http://service/", "body"))
				if tt.again {
					require.NoError(t, err)
					assert.Equal(t, 201, resp.StatusCode)
					require.Len(t, base.sent, 2)
					assert.Equal(t, base.keys("Idempotency-Key")[0], base.keys("Idempotency-Key")[1])
					return
				}
				assert.Len(t, base.sent, 1)
				wantResp, wantErr := tt.answer(base.sent[0])
				assert.Equal(t, wantErr, err, "as it is")
				if wantErr == nil {
					assert.Equal(t, wantResp.StatusCode, resp.StatusCode)
				}
			})
		})
	}
}

func failing(err error) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

func TestTransportTriesAreBounded(t *testing.T) {
	t.Parallel()
	for _, attempts := range []int{1, 2, 4, 7} {
		t.Run(fmt.Sprintf("%d answers", attempts), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				base := &upstream{answers: []func(*http.Request) (*http.Response, error){answered(503)}}
				resp, err := newTransport(t, base, idemhttp.MaxAttempts(attempts)).RoundTrip(clientRequest(t, "POST", "http://service/", ""))
				require.NoError(t, err)
				assert.Len(t, base.sent, attempts)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, "answer 503", string(body), "the last answer is whole")
			})
		})
		t.Run(fmt.Sprintf("%d errors", attempts), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				base := &upstream{answers: []func(*http.Request) (*http.Response, error){cut}}
				_, err := newTransport(t, base, idemhttp.MaxAttempts(attempts)).RoundTrip(clientRequest(t, "POST", "http://service/", ""))
				require.ErrorIs(t, err, errCut)
				assert.Len(t, base.sent, attempts)
				assert.Equal(t, attempts == 1, err == errCut) //nolint:errorlint // unwrapped or not is the question
				assert.NotContains(t, err.Error(), base.keys("Idempotency-Key")[0])
			})
		})
	}
}

func TestTransportPauses(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	tests := []struct {
		name        string
		answer      func(*http.Request) (*http.Response, error)
		least, most []time.Duration
	}{
		{
			name: "doubled up to the bound", answer: cut,
			least: []time.Duration{50 * ms, 100 * ms, 200 * ms, 250 * ms, 250 * ms},
			most:  []time.Duration{100 * ms, 200 * ms, 400 * ms, 500 * ms, 500 * ms},
		},
		{
			name: "as Retry-After says, and a little", answer: answered(503, "Retry-After: 7"),
			least: slices.Repeat([]time.Duration{7 * time.Second}, 5),
			most:  slices.Repeat([]time.Duration{7*time.Second + 100*ms}, 5),
		},
		{
			name: "a Retry-After of nothing is no reason to hurry", answer: answered(503, "Retry-After: 0"),
			least: []time.Duration{50 * ms, 100 * ms, 200 * ms, 250 * ms, 250 * ms},
			most:  []time.Duration{100 * ms, 200 * ms, 400 * ms, 500 * ms, 500 * ms},
		},
		{
			name: "until a date, by the server's clock",
			answer: answered(503, "Date: Fri, 31 Dec 1999 23:59:50 GMT",
				"Retry-After: Sat, 01 Jan 2000 00:00:00 GMT"),
			least: slices.Repeat([]time.Duration{10 * time.Second}, 5),
			most:  slices.Repeat([]time.Duration{10*time.Second + 100*ms}, 5),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				base := &upstream{answers: []func(*http.Request) (*http.Response, error){tt.answer}}
				transport := newTransport(t, base, idemhttp.MaxAttempts(6), idemhttp.Backoff(100*ms, 500*ms))
				_, _ = transport.RoundTrip(clientRequest(t, "POST", "http://service/", ""))
				require.Len(t, base.times, 6)
				for n := range 5 {
					pause := base.times[n+1].Sub(base.times[n])
					assert.GreaterOrEqual(t, pause, tt.least[n])
					assert.LessOrEqual(t, pause, tt.most[n])
				}
			})
		})
	}
}

// Clients that were turned away together must not come back together.
func TestTransportPausesDiffer(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"X-None: 1", "Retry-After: 1"} {
		synctest.Test(t, func(t *testing.T) {
			base := &upstream{answers: []func(*http.Request) (*http.Response, error){answered(503, header)}}
			transport := newTransport(t, base, idemhttp.MaxAttempts(50), idemhttp.Backoff(time.Second, time.Second))
			_, err := transport.RoundTrip(clientRequest(t, "POST", "http://service/", ""))
			require.NoError(t, err)
			pauses := make(map[time.Duration]bool)
			for n := range 49 {
				pauses[base.times[n+1].Sub(base.times[n])] = true
			}
			assert.Greater(t, len(pauses), 25)
		})
	}
}

func TestTransportDoesNotWaitInVain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer func(*http.Request) (*http.Response, error)
		budget time.Duration
		opt    idemhttp.TransportOption
		tries  int
	}{
		{"Retry-After at the bound", answered(503, "Retry-After: 30"), time.Hour, nil, 4},
		{"Retry-After beyond the bound", answered(503, "Retry-After: 31"), time.Hour, nil, 1},
		{"Retry-After beyond all bounds", answered(503, "Retry-After: 99999999999999999999"), time.Hour, nil, 1},
		{"no waiting for Retry-After", answered(503, "Retry-After: 1"), time.Hour, idemhttp.MaxRetryAfter(0), 1},
		{"Retry-After beyond the deadline", answered(503, "Retry-After: 10"), 10 * time.Second, nil, 1},
		{"pause beyond the deadline", cut, 90 * time.Millisecond, nil, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				base := &upstream{answers: []func(*http.Request) (*http.Response, error){tt.answer}}
				var opts []idemhttp.TransportOption
				if tt.opt != nil {
					opts = append(opts, tt.opt)
				}
				ctx, cancel := context.WithTimeout(t.Context(), tt.budget)
				defer cancel()
				start := time.Now()
				req := clientRequest(t, "POST", "http://service/", "").WithContext(ctx)
				resp, err := newTransport(t, base, opts...).RoundTrip(req)
				assert.Len(t, base.sent, tt.tries)
				if tt.tries == 1 {
					assert.Equal(t, start, time.Now(), "returned at once")
				}
				_, wantErr := tt.answer(req)
				assert.ErrorIs(t, err, wantErr, "the answer or the error, not the deadline's")
				if wantErr == nil {
					require.NotNil(t, resp)
					body, _ := io.ReadAll(resp.Body)
					assert.Equal(t, "answer 503", string(body))
				}
			})
		})
	}
}

func TestTransportStopsWaitingWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	errShutdown := errors.New("shutdown")
	tests := []struct {
		name   string
		answer func(*http.Request) (*http.Response, error)
		cause  error
	}{
		{"after an error", cut, nil},
		{"after an answer", answered(503, "Retry-After: 20"), nil},
		{"with a cause", cut, errShutdown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				base := &upstream{answers: []func(*http.Request) (*http.Response, error){tt.answer}}
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(tt.cause) })
				transport := newTransport(t, base, idemhttp.Backoff(10*time.Second, 10*time.Second))
				start := time.Now()
				_, err := transport.RoundTrip(clientRequest(t, "POST", "http://service/", "").WithContext(ctx))
				assert.Equal(t, time.Second, time.Since(start))
				assert.ErrorIs(t, err, context.Canceled)
				if tt.cause != nil {
					assert.ErrorIs(t, err, tt.cause)
				}
				if _, wantErr := tt.answer(nil); wantErr != nil {
					assert.ErrorIs(t, err, wantErr, "what went wrong before is not lost")
				}
				assert.Len(t, base.sent, 1)
			})
		})
	}
}

// The base's error may well be the context's own end: then there is nobody left
// to try for.
func TestTransportDoesNotRetryAfterTheContextsEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	base := &upstream{answers: []func(*http.Request) (*http.Response, error){
		func(*http.Request) (*http.Response, error) { cancel(); return nil, errCut },
	}}
	_, err := newTransport(t, base).RoundTrip(clientRequest(t, "POST", "http://service/", "").WithContext(ctx))
	assert.Equal(t, errCut, err)
	assert.Len(t, base.sent, 1)
}

// http.Client tells of such a base; the transport must not fall over it.
func TestTransportWithABaseThatReturnsNothing(t *testing.T) {
	t.Parallel()
	client := &http.Client{Transport: newTransport(t, &upstream{answers: []func(*http.Request) (*http.Response, error){failing(nil)}})}
	_, err := client.Do(clientRequest(t, "POST", "http://service/", ""))
	assert.ErrorContains(t, err, "nil *Response")
}

package main

import (
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each source is sent twice with one key. The tenant has the source's name, so
// that its ledger is the source's own.
func TestSources(t *testing.T) {
	t.Parallel()
	service := launch(t, "-redis", "embedded")
	for _, test := range []struct {
		name, source string
		status       int    // of the first answer
		code         string // of its problem
		again        int    // status of the second answer
		againCode    string
		replay       bool // the second is a replay of the first
		charges      int  // after both
	}{
		{"charges", "tok_visa", 201, "", 201, "", true, 1},
		{"declined is recorded", "tok_declined", 402, "card_declined", 402, "card_declined", true, 0},
		{"slow charges", "tok_slow_30ms", 201, "", 201, "", true, 1},
		{"stubborn charges", "tok_stubborn_30ms", 201, "", 201, "", true, 1},
		{"cancelled charges when nothing cancels it", "tok_cancelled_30ms", 201, "", 201, "", true, 1},
		{"outage is not recorded", "tok_outage", 503, "processor_down", 503, "processor_down", false, 0},
		{"outage once charges at the second attempt", "tok_outage_once", 503, "processor_down", 201, "", false, 1},
		{"limit is not recorded", "tok_limit", 429, "rate_limited", 429, "rate_limited", false, 0},
		{"ambiguous is unknown", "tok_ambiguous", 504, "processor_timeout", 409, "outcome_unknown", false, 1},
		{"panic before an effect runs again", "tok_panic", 500, "internal", 500, "internal", false, 0},
		{"panic after the charge is unknown", "tok_panic_after_charge", 500, "internal", 409, "outcome_unknown", false, 1},
		{"big", "tok_big_100000", 201, "", 201, "", true, 1},
		{"over the limit is not kept", "tok_big_1048577", 201, "", 409, "result_unavailable", false, 1},
		{"binary", "tok_binary", 201, "", 201, "", true, 1},
		{"cookie", "tok_cookie", 201, "", 201, "", true, 1},
		{"headers", "tok_headers", 201, "", 201, "", true, 1},
		{"empty", "tok_empty", 204, "", 204, "", true, 1},
		{"early hints", "tok_early_hints", 201, "", 201, "", true, 1},
		{"stream", "tok_stream_100", 201, "", 201, "", true, 1},
		{"unknown source is recorded", "tok_nonsense", 400, "unknown_source", 400, "unknown_source", true, 0},
		{"unknown argument is recorded", "tok_slow_soon", 400, "unknown_source", 400, "unknown_source", true, 0},
		{"an argument too many is recorded", "tok_visa_5s", 400, "unknown_source", 400, "unknown_source", true, 0},
		{"an argument too few is recorded", "tok_slow_", 400, "unknown_source", 400, "unknown_source", true, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := post(test.source, "k", test.source)
			first := service.send(t, r)
			assert.Equal(t, test.status, first.status, first.body)
			assert.Equal(t, test.code, first.code())
			assert.False(t, first.replayed())

			second := service.send(t, r)
			assert.Equal(t, test.again, second.status, second.body)
			assert.Equal(t, test.againCode, second.code())
			if test.replay {
				second.assertReplayOf(t, first, "Link", "Content-Disposition", "Content-Language")
			}
			assert.Equal(t, test.replay, second.replayed())
			assert.Equal(t, test.charges, service.charges(t, test.source))
		})
	}
}

func TestSourceAnswers(t *testing.T) {
	t.Parallel()
	service := launch(t)
	for _, test := range []struct {
		name, source string
		check        func(*testing.T, response)
	}{
		{"visa", "tok_visa", func(t *testing.T, r response) {
			p := r.payment(t)
			assert.Equal(t, payment{ID: p.ID, Amount: 1999, Currency: "EUR", Status: "succeeded"}, p)
			assert.Equal(t, "/v1/payments/"+p.ID, r.header.Get("Location"))
			assert.Regexp(t, `^"[0-9a-f]{16}"$`, r.header.Get("ETag"))
			assert.Equal(t, "application/json", r.header.Get("Content-Type"))
		}},
		{"limit", "tok_limit", func(t *testing.T, r response) {
			assert.Equal(t, "1", r.header.Get("Retry-After"))
		}},
		{"big to the byte", "tok_big_5000", func(t *testing.T, r response) {
			assert.Len(t, r.body, 5000)
			assert.EqualValues(t, 1999, r.payment(t).Amount)
		}},
		{"big is never smaller than a payment", "tok_big_1", func(t *testing.T, r response) {
			assert.EqualValues(t, 1999, r.payment(t).Amount)
		}},
		{"binary", "tok_binary", func(t *testing.T, r response) {
			require.Len(t, r.body, 256)
			for i := range r.body {
				require.EqualValues(t, i, r.body[i])
			}
			assert.Equal(t, "application/octet-stream", r.header.Get("Content-Type"))
		}},
		{"cookie", "tok_cookie", func(t *testing.T, r response) {
			assert.Contains(t, r.header.Get("Set-Cookie"), "session=")
			assert.Equal(t, "7", r.header.Get("X-Request-Cost"))
		}},
		{"headers", "tok_headers", func(t *testing.T, r response) {
			assert.Len(t, r.header.Values("Link"), 2)
			assert.Contains(t, r.header.Get("Content-Disposition"), `\"first\"`)
			assert.Equal(t, "en", r.header.Get("Content-Language"))
		}},
		{"empty", "tok_empty", func(t *testing.T, r response) {
			assert.Equal(t, http.StatusNoContent, r.status)
			assert.Empty(t, r.body)
		}},
		{"stream", "tok_stream_3", func(t *testing.T, r response) {
			assert.Equal(t, 3, strings.Count(r.body, "\n"))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.check(t, service.send(t, post("acme", test.name[:3]+test.source, test.source)))
		})
	}
}

func TestReplayOfACookieHasNoCookie(t *testing.T) {
	t.Parallel()
	service := launch(t)
	first := service.send(t, post("acme", "k", "tok_cookie"))
	second := service.send(t, post("acme", "k", "tok_cookie"))
	second.assertReplayOf(t, first)
	assert.Empty(t, second.header.Values("Set-Cookie"))
	assert.Empty(t, second.header.Values("X-Request-Cost"))
}

func TestEarlyHintsComeBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	service := launch(t)
	var early []int
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(status int, _ textproto.MIMEHeader) error { early = append(early, status); return nil },
	})
	got, err := service.tryWith(t, ctx, post("acme", "k", "tok_early_hints"))
	require.NoError(t, err)
	assert.Equal(t, []int{http.StatusEarlyHints}, early)
	assert.Equal(t, http.StatusCreated, got.status)
}

func TestAbortCutsTheConnectionAndIsUnknown(t *testing.T) {
	t.Parallel()
	service := launch(t)
	_, err := service.try(t, post("acme", "k", "tok_abort"))
	require.Error(t, err)
	again := service.send(t, post("acme", "k", "tok_abort"))
	assert.Equal(t, "outcome_unknown", again.code())
	assert.Equal(t, 1, service.charges(t, "acme"))
}

func TestPassedStreamIsNotRecordedAndRunsOnce(t *testing.T) {
	t.Parallel()
	service := launch(t, "-stream", "pass")
	first := service.send(t, post("acme", "k", "tok_stream_50"))
	assert.Equal(t, http.StatusCreated, first.status)
	assert.Equal(t, 50, strings.Count(first.body, "\n"))
	again := service.send(t, post("acme", "k", "tok_stream_50"))
	assert.Equal(t, "result_unavailable", again.code())
	assert.Equal(t, first.header.Get("Location"), again.header.Get("Location"))
	assert.Equal(t, 1, service.charges(t, "acme"))
}

// The store goes away while the handler runs: its context ends with the lease.
func TestSourcesThatHeedTheirContextStopWithTheLease(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, source, code string
		status             int
	}{
		{"slow says that nothing happened", "tok_slow_20s", "interrupted", 503},
		{"cancelled says nothing", "tok_cancelled_20s", "cancelled", 500},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := startRedis(t)
			service := launch(t, "-redis", "redis://"+server.Addr(), "-lease", "1s")
			answers := service.sendRunning(t, post("acme", "k", test.source))
			server.SetError("ERR out of order")
			got := receive(t, answers)
			assert.Equal(t, test.status, got.status, got.body)
			assert.Equal(t, test.code, got.code())
			server.SetError("")
			assert.Zero(t, service.charges(t, "acme"))
		})
	}
}

func TestNothingIsChargedWhenTheMarkFails(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	service := launch(t, "-redis", "redis://"+server.Addr(), "-lease", "1m")
	answers := service.sendRunning(t, post("acme", "k", "tok_slow_1s"))
	server.SetError("ERR out of order")
	got := receive(t, answers)
	assert.Equal(t, 503, got.status, got.body)
	assert.Equal(t, "effect_not_marked", got.code())
	assert.Zero(t, service.charges(t, "acme"))
}

func startRedis(t *testing.T) *miniredis.Miniredis {
	t.Helper()
	server := miniredis.NewMiniRedis()
	server.ClockTTL(true)
	require.NoError(t, server.Start())
	t.Cleanup(server.Close)
	return server
}

func receive(t *testing.T, answers <-chan response) response {
	t.Helper()
	select {
	case got := <-answers:
		return got
	case <-time.After(20 * time.Second):
		require.Fail(t, "no answer")
		return response{}
	}
}

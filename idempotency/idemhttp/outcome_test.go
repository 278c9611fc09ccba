package idemhttp_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

const problemTypes = "https://github.com/reprise-go/reprise/blob/main/idempotency/docs/errors.md#"

// response builds an answer as a client has it.
func response(t *testing.T, status int, mark, contentType, body string) *http.Response {
	t.Helper()
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
	if mark != "" {
		resp.Header.Set("Idempotency-Status", mark)
	}
	if contentType != "" {
		resp.Header.Set("Content-Type", contentType)
	}
	return resp
}

func TestResponseOutcomes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		status int
		mark   string
		want   idemhttp.Outcome
	}{
		{"executed", 201, "executed", idemhttp.OutcomeDone},
		{"executed refusal of the service", 402, "executed", idemhttp.OutcomeDone},
		{"recorded server error", 500, "executed", idemhttp.OutcomeDone},
		{"replayed", 201, "replayed", idemhttp.OutcomeDone},
		{"replayed refusal of the service", 422, "replayed", idemhttp.OutcomeDone},
		{"not recorded", 201, "unrecorded", idemhttp.OutcomeDone},
		{"refusal that is not recorded", 404, "unrecorded", idemhttp.OutcomeDone},
		{"server error that is not recorded", 503, "unrecorded", idemhttp.OutcomeFailed},
		{"unauthorised", 401, "unrecorded", idemhttp.OutcomeFailed},
		{"unprotected", 201, "unprotected", idemhttp.OutcomeDone},
		{"unprotected server error", 500, "unprotected", idemhttp.OutcomeFailed},
		{"ignored", 201, "ignored", idemhttp.OutcomeDone},
		{"in progress", 409, "conflict", idemhttp.OutcomeRunning},
		{"in progress as 503", 503, "conflict", idemhttp.OutcomeRunning},
		{"outcome unknown", 409, "unknown", idemhttp.OutcomeUnknown},
		{"lease lost", 503, "unknown", idemhttp.OutcomeUnknown},
		{"reused", 422, "mismatch", idemhttp.OutcomeReused},
		{"unavailable", 409, "unavailable", idemhttp.OutcomeUnavailable},
		{"replay denied", 403, "unavailable", idemhttp.OutcomeUnavailable},
		{"a house rule that every refusal is 403", 403, "rejected", idemhttp.OutcomeRefused},
		{"rejected", 400, "rejected", idemhttp.OutcomeRefused},
		{"store unavailable", 503, "rejected", idemhttp.OutcomeRefused},
		{"no mark, success", 200, "", idemhttp.OutcomeDone},
		{"no mark, redirect", 303, "", idemhttp.OutcomeDone},
		{"no mark, conflict of the service", 409, "", idemhttp.OutcomeDone},
		{"no mark, rate limit", 429, "", idemhttp.OutcomeFailed},
		{"no mark, gateway", 502, "", idemhttp.OutcomeFailed},
		{"mark of later days", 409, "new", idemhttp.OutcomeDone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resp := response(t, tt.status, tt.mark, "", "")
			assert.Equal(t, tt.want, idemhttp.OutcomeOf(resp))
			err := idemhttp.CheckResponse(resp)
			if tt.want == idemhttp.OutcomeDone {
				require.NoError(t, err)
				return
			}
			var refused *idemhttp.ResponseError
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, tt.want, refused.Outcome)
			assert.Equal(t, tt.status, refused.Status)
		})
	}
}

func TestResponseOutcomesHaveNames(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for o := idemhttp.Outcome(0); o <= idemhttp.OutcomeFailed; o++ {
		names[o.String()] = true
	}
	assert.Len(t, names, 8)
	assert.Equal(t, "running", idemhttp.OutcomeRunning.String())
	assert.Equal(t, "failed", idemhttp.OutcomeFailed.String())
	assert.Equal(t, "none", idemhttp.Outcome(200).String())
}

// Every refusal of the middleware is understood as it was meant.
func TestResponseErrorsOfEveryProblem(t *testing.T) {
	t.Parallel()
	codes := []idempotency.Code{
		idempotency.ErrKeyMissing, idempotency.ErrKeyInvalid, idempotency.ErrBodyUnreadable, idempotency.ErrBodyTooLarge,
		idempotency.ErrKeyReused, idempotency.ErrInProgress, idempotency.ErrOutcomeUnknown, idempotency.ErrResultUnavailable,
		idempotency.ErrReplayDenied, idempotency.ErrScopeBusy, idempotency.ErrOverloaded, idempotency.ErrScopeMissing,
		idempotency.ErrStoreUnavailable, idempotency.ErrDraining, idempotency.ErrLeaseLost, idempotency.ErrRecordUnreadable,
	}
	for _, code := range codes {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			recorder := httptest.NewRecorder()
			idemhttp.WriteError(recorder, &idempotency.Error{Code: code})
			resp := recorder.Result()
			sent := recorder.Body.String()
			var told struct {
				Retryable  bool `json:"retryable"`
				SafeNewKey bool `json:"safe_new_key"`
			}
			require.NoError(t, json.Unmarshal([]byte(sent), &told))

			err := idemhttp.CheckResponse(resp)
			require.ErrorIs(t, err, code)
			var refused *idemhttp.ResponseError
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, code, refused.Code)
			assert.Equal(t, resp.StatusCode, refused.Status)
			assert.Equal(t, told.Retryable, refused.Retryable)
			assert.Equal(t, told.SafeNewKey, refused.SafeNewKey)
			assert.Equal(t, resp.Header.Get("Retry-After") != "", refused.RetryAfter > 0)
			assert.Contains(t, err.Error(), string(code))
			assert.Equal(t, sent, readAll(t, resp), "the body is still there")

			withoutBody := *resp
			withoutBody.Body = http.NoBody
			require.ErrorAs(t, idemhttp.CheckResponse(&withoutBody), &refused)
			assert.Equal(t, told.Retryable, refused.Retryable, "the header alone tells the same, and is what a Transport goes by")
		})
	}
}

func TestResponseWithoutAProblemOfThisLibrary(t *testing.T) {
	t.Parallel()
	problem := func(code string, status string) string {
		return `{"type":"` + problemTypes + code + `","code":"` + code + `","status":` + status + `,"retryable":true,"safe_new_key":true}`
	}
	tests := []struct {
		name   string
		status int
		mark   string
		media  string
		body   string
		want   idempotency.Code
		newKey bool
	}{
		{name: "conflict", status: 409, mark: "conflict", want: idempotency.ErrInProgress},
		{name: "mismatch", status: 422, mark: "mismatch", want: idempotency.ErrKeyReused, newKey: true},
		{name: "unknown", status: 409, mark: "unknown", want: idempotency.ErrOutcomeUnknown},
		{name: "lease lost", status: 503, mark: "unknown", want: idempotency.ErrLeaseLost},
		{name: "unavailable", status: 409, mark: "unavailable", want: idempotency.ErrResultUnavailable},
		{name: "unavailable as 403", status: 403, mark: "unavailable", want: idempotency.ErrResultUnavailable},
		{name: "rejected as 403", status: 403, mark: "rejected", want: ""},
		{name: "rejected", status: 503, mark: "rejected", want: ""},
		{name: "plain text", status: 409, mark: "unknown", media: "text/plain", body: problem("in_progress", "409"), want: idempotency.ErrOutcomeUnknown},
		{name: "not JSON", status: 409, mark: "unknown", media: "application/problem+json", body: "<html>", want: idempotency.ErrOutcomeUnknown},
		{name: "another status", status: 409, mark: "unknown", media: "application/problem+json", body: problem("in_progress", "503"), want: idempotency.ErrOutcomeUnknown},
		{
			name: "another service's type", status: 409, mark: "unknown", media: "application/problem+json",
			body: `{"type":"about:blank","code":"in_progress","status":409,"retryable":true}`, want: idempotency.ErrOutcomeUnknown,
		},
		{
			name: "too long", status: 409, mark: "unknown", media: "application/problem+json",
			body: strings.Repeat(" ", 64<<10) + problem("in_progress", "409"), want: idempotency.ErrOutcomeUnknown,
		},
		{
			name: "a code of later days", status: 409, mark: "unavailable", media: "application/problem+json; charset=utf-8",
			body: problem("expired", "409"), want: "expired",
		},
		{
			name: "a code of later days that allows a new key", status: 422, mark: "mismatch", media: "application/problem+json",
			body: problem("key_expired", "422"), want: "key_expired", newKey: true,
		},
		{
			name: "a mark that forbids a new key", status: 409, mark: "unknown", media: "application/problem+json",
			body: problem("outcome_unknown", "409"), want: idempotency.ErrOutcomeUnknown,
		},
		{
			name: "a code with a line break", status: 409, mark: "unknown", media: "application/problem+json",
			body: problem(`x\n2026-11-22 ERROR forged`, "409"), want: idempotency.ErrOutcomeUnknown,
		},
		{
			name: "a code of 64 letters", status: 409, mark: "conflict", media: "application/problem+json",
			body: problem(strings.Repeat("a", 64), "409"), want: idempotency.Code(strings.Repeat("a", 64)),
		},
		{
			name: "a code of 65 letters", status: 409, mark: "conflict", media: "application/problem+json",
			body: problem(strings.Repeat("a", 65), "409"), want: idempotency.ErrInProgress,
		},
		{
			name: "not read where the mark says nothing", status: 503, media: "application/problem+json",
			body: problem("in_progress", "503"), want: "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resp := response(t, tt.status, tt.mark, tt.media, tt.body)
			resp.Header.Set("Location", "/orders/1")
			err := idemhttp.CheckResponse(resp)
			var refused *idemhttp.ResponseError
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, tt.want, refused.Code)
			assert.Equal(t, tt.newKey, refused.SafeNewKey)
			assert.Equal(t, tt.want != "", errors.Is(err, tt.want))
			assert.Equal(t, tt.body, readAll(t, resp))
			assert.Equal(t, tt.mark == "unavailable", refused.Location == "/orders/1")
		})
	}
}

func TestResponseBodyThatBreaksOffIsStillTheCallers(t *testing.T) {
	t.Parallel()
	errReset := errors.New("reset")
	body := &closeNoter{Reader: io.MultiReader(strings.NewReader(`{"type":`), iotest.ErrReader(errReset))}
	resp := response(t, 409, "conflict", "application/problem+json", "")
	resp.Body = body
	require.ErrorIs(t, idemhttp.CheckResponse(resp), idempotency.ErrInProgress)
	read, err := io.ReadAll(resp.Body)
	assert.Equal(t, `{"type":`, string(read))
	assert.ErrorIs(t, err, errReset)
	assert.False(t, body.closed)
	_ = resp.Body.Close()
	assert.True(t, body.closed)
}

func TestResponseWithoutBodyAtAll(t *testing.T) {
	t.Parallel()
	resp := response(t, 409, "conflict", "application/problem+json", "")
	resp.Body = nil
	assert.ErrorIs(t, idemhttp.CheckResponse(resp), idempotency.ErrInProgress)
}

func TestResponseRetryAfter(t *testing.T) {
	t.Parallel()
	const date = "Fri, 31 Dec 1999 23:59:50 GMT"
	tests := []struct {
		name, value, date string
		want              time.Duration
	}{
		{"none", "", date, 0},
		{"seconds", "120", date, 2 * time.Minute},
		{"spaces", " 3 ", date, 3 * time.Second},
		{"nothing", "0", date, 0},
		{"negative", "-1", date, 0},
		{"fraction", "1.5", date, 0},
		{"words", "soon", date, 0},
		{"a date", "Sat, 01 Jan 2000 00:00:00 GMT", date, 10 * time.Second},
		{"a date, RFC 850", "Saturday, 01-Jan-00 00:00:00 GMT", date, 10 * time.Second},
		{"a date that has passed", "Fri, 31 Dec 1999 23:59:00 GMT", date, 0},
		{"a date, and no clock to compare with but ours", "Fri, 31 Dec 1999 23:59:00 GMT", "", 0},
		{"more than a year", "99999999999", date, 365 * 24 * time.Hour},
		{"more than a number", "99999999999999999999999", date, 365 * 24 * time.Hour},
		{"a date far off", "Fri, 31 Dec 2999 00:00:00 GMT", date, 365 * 24 * time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resp := response(t, 503, "", "", "")
			resp.Header.Set("Retry-After", tt.value)
			resp.Header.Set("Date", tt.date)
			var refused *idemhttp.ResponseError
			require.ErrorAs(t, idemhttp.CheckResponse(resp), &refused)
			assert.Equal(t, tt.want, refused.RetryAfter)
		})
	}
}

func FuzzResponse(f *testing.F) {
	f.Add(409, "conflict", "1", "application/problem+json", `{"type":"`+problemTypes+`in_progress","code":"in_progress","status":409,"retryable":true}`)
	f.Add(503, "rejected", "Sat, 01 Jan 2000 00:00:00 GMT", "application/problem+json", `{`)
	f.Add(429, "", "99999999999999999999", "text/html; x", "<html>")
	f.Fuzz(func(t *testing.T, status int, mark, after, media, body string) {
		resp := response(t, status, mark, media, body)
		resp.Header.Set("Retry-After", after)
		outcome := idemhttp.OutcomeOf(resp)
		err := idemhttp.CheckResponse(resp)
		require.Equal(t, outcome == idemhttp.OutcomeDone, err == nil)
		read, readErr := io.ReadAll(resp.Body)
		require.NoError(t, readErr)
		require.Equal(t, body, string(read))
		if err == nil {
			return
		}
		var refused *idemhttp.ResponseError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, outcome, refused.Outcome)
		require.GreaterOrEqual(t, refused.RetryAfter, time.Duration(0))
		require.LessOrEqual(t, refused.RetryAfter, 365*24*time.Hour)
		require.Equal(t, refused.Code != "", refused.Unwrap() != nil)
		require.Regexp(t, `^idemhttp: [a-z]+: ([a-z_]{1,64} \(status -?\d+\)|status -?\d+)$`, err.Error(), "no text of the network's is in it")
		require.False(t, refused.SafeNewKey && outcome != idemhttp.OutcomeReused)
	})
}

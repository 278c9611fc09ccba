package main

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOtherRequestUnderTheSameKeyIsAMismatch(t *testing.T) {
	t.Parallel()
	service := launch(t)
	service.send(t, post("acme", "k", "tok_visa"))
	other := service.send(t, post("acme", "k", "tok_declined"))
	assert.Equal(t, 422, other.status)
	assert.Equal(t, "idempotency_key_reused", other.code())
	assert.Equal(t, 1, service.charges(t, "acme"))
}

func TestTenantsDoNotMeet(t *testing.T) {
	t.Parallel()
	service := launch(t)
	mine := service.send(t, post("acme", "k", "tok_visa"))
	theirs := service.send(t, post("other", "k", "tok_visa"))
	assert.False(t, theirs.replayed())
	assert.NotEqual(t, mine.payment(t).ID, theirs.payment(t).ID)
	assert.Len(t, service.ledger(t, "acme"), 1)

	path := mine.header.Get("Location")
	assert.Equal(t, 200, service.send(t, get("acme", path)).status)
	assert.Equal(t, "not_found", service.send(t, get("other", path)).code())
}

func TestRequestsWithoutATenantGet401(t *testing.T) {
	t.Parallel()
	service := launch(t)
	for _, test := range []struct{ name, authorization string }{
		{"none", ""},
		{"no tenant", "Bearer sk_test_"},
		{"another key", "Bearer sk_live_acme"},
		{"another scheme", "Basic sk_test_acme"},
		{"two", "Bearer sk_test_acme, Bearer sk_test_other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, path := range []string{"/v1/payments", "/v1/ledger", "/v1/nowhere"} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, service.url+path, nil)
				require.NoError(t, err)
				req.Header.Set("Authorization", test.authorization)
				resp, err := service.client.Do(req)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				assert.Equal(t, 401, resp.StatusCode)
				assert.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
				assert.Empty(t, resp.Header.Get("Idempotency-Status"), "idempotency is further inside")
			}
		})
	}
}

func TestBadRequestsAreRecorded(t *testing.T) {
	t.Parallel()
	service := launch(t)
	for _, test := range []struct{ name, body string }{
		{"no JSON", `amount=1`},
		{"empty", ``},
		{"unknown member", `{"amount":1,"currency":"EUR","source":"tok_visa","colour":"red"}`},
		{"second value", `{"amount":1,"currency":"EUR","source":"tok_visa"} {}`},
		{"no amount", `{"currency":"EUR","source":"tok_visa"}`},
		{"negative amount", `{"amount":-1,"currency":"EUR","source":"tok_visa"}`},
		{"broken amount", `{"amount":1.5,"currency":"EUR","source":"tok_visa"}`},
		{"amount as text", `{"amount":"1","currency":"EUR","source":"tok_visa"}`},
		{"no currency", `{"amount":1,"source":"tok_visa"}`},
		{"currency in lower case", `{"amount":1,"currency":"eur","source":"tok_visa"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := request{"POST", "/v1/payments", "acme", "key of " + test.name, test.body}
			r.key = `"` + r.key + `"`
			first := service.send(t, r)
			assert.Equal(t, 400, first.status)
			assert.Equal(t, "invalid_request", first.code())
			service.send(t, r).assertReplayOf(t, first)
		})
	}
}

func TestRefunds(t *testing.T) {
	t.Parallel()
	service := launch(t)
	charged := service.send(t, post("acme", "k", "tok_visa")).payment(t)
	r := request{"POST", "/v1/payments/" + charged.ID + "/refunds", "acme", "k", `{"amount":500}`}

	first := service.send(t, r)
	require.Equal(t, 201, first.status, first.body)
	var given refund
	require.NoError(t, json.Unmarshal([]byte(first.body), &given))
	assert.Equal(t, refund{ID: given.ID, PaymentID: charged.ID, Amount: 500}, given)
	service.send(t, r).assertReplayOf(t, first)

	entries := service.ledger(t, "acme")
	require.Len(t, entries, 2)
	assert.Equal(t, kindRefund, entries[1].Kind)
	assert.Equal(t, charged.ID, entries[1].Payment)
	assert.EqualValues(t, 500, entries[1].Amount)

	keyless := r
	keyless.key = ""
	assert.Equal(t, "idempotency_key_missing", service.send(t, keyless).code())
	bad := request{"POST", r.path, "acme", "k2", `{"amount":0}`}
	assert.Equal(t, "invalid_request", service.send(t, bad).code())
}

func TestRefundOfAnUnknownPaymentIsARecorded404(t *testing.T) {
	t.Parallel()
	service := launch(t)
	r := request{"POST", "/v1/payments/pay_none/refunds", "acme", "k", `{"amount":500}`}
	first := service.send(t, r)
	assert.Equal(t, 404, first.status)
	assert.Equal(t, "not_found", first.code())
	service.send(t, r).assertReplayOf(t, first)
}

func TestPatchTakesAKeyButNeedsNone(t *testing.T) {
	t.Parallel()
	service := launch(t)
	created := service.send(t, post("acme", "k", "tok_visa"))
	path := created.header.Get("Location")

	keyed := request{"PATCH", path, "acme", "p", `{"description":"one"}`}
	first := service.send(t, keyed)
	require.Equal(t, 200, first.status, first.body)
	assert.Equal(t, "one", first.payment(t).Description)
	assert.NotEqual(t, created.header.Get("ETag"), first.header.Get("ETag"))

	keyless := request{"PATCH", path, "acme", "", `{"description":"two"}`}
	assert.Equal(t, 200, service.send(t, keyless).status)
	service.send(t, keyed).assertReplayOf(t, first)

	now := service.send(t, get("acme", path)).payment(t)
	assert.Equal(t, "two", now.Description, "the replay changed nothing")
	assert.Len(t, service.ledger(t, "acme"), 3)

	for _, bad := range []string{`{}`, `{"description":1}`, `{"amount":1}`} {
		got := service.send(t, request{"PATCH", path, "acme", "", bad})
		assert.Equal(t, "invalid_request", got.code(), bad)
	}
}

func TestLedgerSaysWhatWasExecutedByWhomAndWithWhichToken(t *testing.T) {
	t.Parallel()
	service := launch(t, "-redis", "embedded")
	service.send(t, post("acme", "k", "tok_visa"))
	service.send(t, post("acme", "k", "tok_visa"))
	service.send(t, post("acme", "l", "tok_visa"))
	entries := service.ledger(t, "acme")
	require.Len(t, entries, 2)
	for i, e := range entries {
		assert.EqualValues(t, i+1, e.Seq)
		assert.Regexp(t, `^[0-9a-f]{16}$`, e.KeyHash)
		assert.Positive(t, e.Token)
		assert.NotEmpty(t, e.Instance)
		assert.NotZero(t, e.At)
	}
	assert.NotEqual(t, entries[0].KeyHash, entries[1].KeyHash)
}

func TestInstancesShareTheLedgerFile(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	args := []string{"-redis", "redis://" + server.Addr(), "-ledger", path}
	one, two := launch(t, args...), launch(t, args...)

	first := one.send(t, post("acme", "k", "tok_visa"))
	require.Equal(t, 201, first.status, first.body)
	two.send(t, post("acme", "k", "tok_visa")).assertReplayOf(t, first)
	assert.Equal(t, first.payment(t), two.send(t, get("acme", first.header.Get("Location"))).payment(t))

	r := request{"POST", first.header.Get("Location") + "/refunds", "acme", "r", `{"amount":1}`}
	assert.Equal(t, 201, two.send(t, r).status)
	entries := one.ledger(t, "acme")
	require.Len(t, entries, 2)
	assert.NotEqual(t, entries[0].Instance, entries[1].Instance)
	assert.Len(t, readLines(t, path), 2)

	third := launch(t, args...)
	var list struct {
		Payments []payment `json:"payments"`
	}
	require.NoError(t, json.Unmarshal([]byte(third.send(t, get("acme", "/v1/payments")).body), &list))
	assert.Equal(t, []payment{first.payment(t)}, list.Payments, "a new instance rebuilds payments from the file")
}

func TestUnreachableRedisDoesNotStopTheStart(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	address := server.Addr()
	server.Close()
	service := launch(t, "-redis", "redis://"+address)

	assert.Equal(t, 503, service.send(t, get("", "/healthz")).status)
	assert.Equal(t, "store_unavailable", service.send(t, post("acme", "k", "tok_visa")).code())
	assert.Zero(t, service.charges(t, "acme"))

	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	require.NoError(t, server.StartAddr("127.0.0.1:"+port))
	assert.Equal(t, 201, service.send(t, post("acme", "l", "tok_visa")).status)
}

func TestStoreDownOpenRunsUnprotected(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	server.SetError("ERR out of order")
	service := launch(t, "-redis", "redis://"+server.Addr(), "-store-down", "open")
	got := service.send(t, post("acme", "k", "tok_visa"))
	assert.Equal(t, 201, got.status, got.body)
	assert.Equal(t, "unprotected", got.header.Get("Idempotency-Status"))
	assert.Empty(t, service.ledger(t, "acme")[0].KeyHash)
}

package idempotency_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

func TestDefaultPolicyIsValid(t *testing.T) {
	t.Parallel()
	assert.NoError(t, idempotency.DefaultPolicy().Validate())
}

func TestPolicyFaultsNameTheirFieldAndValue_L19(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	tests := []struct {
		name string
		over idempotency.Policy
		want []string
	}{
		{"key", idempotency.Policy{Key: "sometimes"}, []string{`Key is "sometimes"`, "required", "optional", "off", "shadow"}},
		{"orphan", idempotency.Policy{Orphan: "adopt"}, []string{`Orphan is "adopt"`, "refuse", "rerun-unmarked"}},
		{"record", idempotency.Policy{Record: "none"}, []string{`Record is "none"`, "deterministic", "success", "all"}},
		{"failure", idempotency.Policy{Failure: "retry"}, []string{`Failure is "retry"`, "release", "unknown"}},
		{"store down", idempotency.Policy{StoreDown: "ajar"}, []string{`StoreDown is "ajar"`, "closed", "open"}},
		{"caller", idempotency.Policy{Caller: "gone"}, []string{`Caller is "gone"`, "detached", "attached"}},
		{"stream", idempotency.Policy{Stream: "drop"}, []string{`Stream is "drop"`, "buffer", "pass"}},
		{"fingerprint", idempotency.Policy{Fingerprint: "md5"}, []string{`Fingerprint is "md5"`, "request", "off"}},
		{"lease too short", idempotency.Policy{Lease: 99 * time.Millisecond}, []string{"Lease is 99ms", "100ms"}},
		{"lease negative", idempotency.Policy{Lease: -time.Second}, []string{"Lease is -1s"}},
		{"lease too long", idempotency.Policy{Lease: 25 * time.Hour, MaxHold: 24 * time.Hour}, []string{"Lease is 25h0m0s"}},
		{"hold too long", idempotency.Policy{MaxHold: 25 * time.Hour}, []string{"MaxHold is 25h0m0s"}},
		{"hold shorter than lease", idempotency.Policy{Lease: time.Minute, MaxHold: 59 * time.Second}, []string{"MaxHold 59s", "Lease 1m0s"}},
		{"retention too short", idempotency.Policy{Lease: 100 * time.Millisecond, Retention: 999 * time.Millisecond}, []string{"Retention is 999ms", "1s"}},
		{"retention too long", idempotency.Policy{Retention: 30*day + 1}, []string{"Retention is 720h0m0.000000001s"}},
		{"retention not longer than lease", idempotency.Policy{Lease: time.Minute, Retention: time.Minute}, []string{"Retention 1m0s", "Lease 1m0s"}},
		{"shortest retention too short", idempotency.Policy{MinRetention: time.Second - 1}, []string{"MinRetention is 999.999999ms"}},
		{"shortest retention longer than retention", idempotency.Policy{Retention: time.Hour, MinRetention: time.Hour + 1}, []string{"MinRetention 1h0m0.000000001s", "Retention 1h0m0s"}},
		{"shortest retention negative", idempotency.Policy{MinRetention: -1}, []string{"MinRetention is -1ns"}},
		{"request body", idempotency.Policy{MaxRequestBody: 512<<20 + 1}, []string{"MaxRequestBody is 536870913", "536870912"}},
		{"request body negative", idempotency.Policy{MaxRequestBody: -1}, []string{"MaxRequestBody is -1"}},
		{"response body", idempotency.Policy{MaxResponseBody: -1}, []string{"MaxResponseBody is -1"}},
		{
			"all at once",
			idempotency.Policy{Key: "a", Caller: "b", Lease: 1, MaxHold: -1, MaxRequestBody: -1},
			[]string{"Key", "Caller", "Lease", "MaxHold", "MaxRequestBody"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := idempotency.DefaultPolicy().Override(tt.over).Validate()
			for _, want := range tt.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
}

func TestPolicyBoundsAreInclusive(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	tests := []struct {
		name string
		over idempotency.Policy
	}{
		{"least", idempotency.Policy{
			Lease: 100 * time.Millisecond, MaxHold: 100 * time.Millisecond, Retention: time.Second,
			MinRetention: time.Second, MaxRequestBody: 1, MaxResponseBody: 1,
		}},
		{"most", idempotency.Policy{
			Lease: day, MaxHold: day, Retention: 30 * day, MinRetention: 30 * day,
			MaxRequestBody: 512 << 20, MaxResponseBody: 128 << 20,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.NoError(t, idempotency.DefaultPolicy().Override(tt.over).Validate())
		})
	}
}

func TestOverrideSetsEveryField(t *testing.T) {
	t.Parallel()
	other := idempotency.Policy{
		Key: idempotency.KeyOptional, Retention: 1, MinRetention: 2, Lease: 3, MaxHold: 4,
		Orphan: idempotency.OrphanRerun, Record: idempotency.RecordAll, Failure: idempotency.FailureUnknown,
		StoreDown: idempotency.StoreDownOpen, Caller: idempotency.CallerAttached, Stream: idempotency.StreamPass,
		Fingerprint: idempotency.FingerprintOff, MaxRequestBody: 5, MaxResponseBody: 6, Headers: []string{"X-A"},
		KeyFormat: idempotency.KeyUUID, Wait: 7, MaxWaiters: 8, Conflict: idempotency.Conflict425,
		FingerprintOnly: []string{"/a"}, FingerprintExclude: []string{"/b"}, FingerprintHeaders: []string{"X-B"},
	}
	require.NotContains(t, fieldsOf(other), "", "a field that this test forgets")
	assert.Equal(t, other, idempotency.DefaultPolicy().Override(other))
	assert.Equal(t, other, other.Override(idempotency.Policy{}))
}

// fieldsOf returns the values of a policy's fields as text, "" for zero ones.
func fieldsOf(p idempotency.Policy) []string {
	v := reflect.ValueOf(p)
	texts := make([]string, v.NumField())
	for i := range texts {
		if !v.Field(i).IsZero() {
			texts[i] = fmt.Sprint(v.Type().Field(i).Name, v.Field(i))
		}
	}
	return texts
}

func TestOverrideAddsHeadersUpAndSharesNoList(t *testing.T) {
	t.Parallel()
	a := idempotency.Policy{Headers: append(make([]string, 0, 8), "X-A", "X-B")}
	b := idempotency.Policy{Headers: []string{"X-B", "X-C"}}
	sum := a.Override(b)
	assert.Equal(t, []string{"X-A", "X-B", "X-C"}, sum.Headers)
	sum.Headers[0] = "X-Changed"
	assert.Equal(t, []string{"X-A", "X-B"}, a.Headers)
	assert.Equal(t, []string{"X-B", "X-C"}, b.Headers)
}

// FuzzPolicy: whatever a policy holds, Validate does not panic, what it accepts
// keeps the promises that the engine builds on, and Override is a monoid with
// the zero policy.
func FuzzPolicy(f *testing.F) {
	f.Add("", "", "", int64(0), int64(0), int64(0), int64(0), int64(0), "")
	f.Add("shadow", "", "", int64(0), int64(0), int64(0), int64(0), int64(0), "")
	f.Add("off", "rerun", "open", int64(time.Second), int64(time.Minute), int64(time.Hour), int64(time.Minute), int64(1), "X-A")
	f.Add("required", "refuse", "closed", int64(100*time.Millisecond), int64(time.Second), int64(time.Second), int64(0), int64(512<<20), "X-B")
	f.Add("no", "rerun-unmarked", "", int64(-1), int64(1)<<62, int64(-1)<<63, int64(-1)<<63, int64(-1), "\x00")
	f.Fuzz(func(t *testing.T, key, orphan, down string, lease, hold, retention, shortest, body int64, header string) {
		p := idempotency.Policy{
			Key: idempotency.KeyRule(key), Orphan: idempotency.Orphan(orphan), StoreDown: idempotency.StoreDownRule(down),
			Lease: time.Duration(lease), MaxHold: time.Duration(hold), Retention: time.Duration(retention),
			MinRetention: time.Duration(shortest), MaxRequestBody: body, MaxResponseBody: body, Headers: []string{header},
		}
		_ = p.Validate()
		overrideLaws(t, p)
		whole := idempotency.DefaultPolicy().Override(p)
		if whole.Validate() == nil {
			invariants(t, whole)
		}
	})
}

func overrideLaws(t *testing.T, p idempotency.Policy) {
	t.Helper()
	var zero idempotency.Policy
	assert.Equal(t, p, p.Override(zero))
	assert.Equal(t, p, zero.Override(p))
	assert.Equal(t, p, p.Override(p))
	a, c := idempotency.DefaultPolicy(), idempotency.Policy{
		Key: idempotency.KeyOff, Retention: time.Hour, MaxHold: time.Hour, Headers: []string{"X-C", "X-A"},
	}
	for _, b := range []idempotency.Policy{p, c, zero} {
		assert.Equal(t, a.Override(b).Override(p), a.Override(b.Override(p)))
		assert.Equal(t, p.Override(b).Override(c), p.Override(b.Override(c)))
	}
}

func invariants(t *testing.T, p idempotency.Policy) {
	t.Helper()
	assert.GreaterOrEqual(t, p.Lease, 100*time.Millisecond)
	assert.GreaterOrEqual(t, p.MaxHold, p.Lease)
	assert.Greater(t, p.Retention, p.Lease)
	assert.GreaterOrEqual(t, p.Retention, time.Second)
	assert.LessOrEqual(t, p.Retention, 30*24*time.Hour)
	assert.LessOrEqual(t, p.MinRetention, p.Retention)
	assert.True(t, p.MinRetention == 0 || p.MinRetention >= time.Second)
	assert.Positive(t, p.MaxRequestBody)
	assert.LessOrEqual(t, p.MaxResponseBody, int64(128<<20))
	assert.True(t, slices.Contains([]idempotency.KeyRule{"required", "optional", "off", "shadow"}, p.Key))
	assert.True(t, slices.Contains([]idempotency.Orphan{"refuse", "rerun-unmarked", "rerun"}, p.Orphan))
	assert.True(t, slices.Contains([]idempotency.StoreDownRule{"closed", "open"}, p.StoreDown))
	require.NoError(t, store.Validate(store.Claim{
		Owner: store.Owner{1}, Operation: "o", Fingerprint: fingerprint(""), Lease: p.Lease, Retention: p.Retention,
	}), "what is accepted can be claimed")
}

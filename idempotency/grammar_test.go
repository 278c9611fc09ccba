package idempotency_test

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

const hours24 = 24 * time.Hour

func TestParsePolicyReadsEveryWord(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       idempotency.Policy
	}{
		{"nothing", "", idempotency.Policy{}},
		{"spaces", " \t\n ", idempotency.Policy{}},
		{"required", "required", idempotency.Policy{Key: idempotency.KeyRequired}},
		{"optional", "optional", idempotency.Policy{Key: idempotency.KeyOptional}},
		{"off", "off", idempotency.Policy{Key: idempotency.KeyOff}},
		{"shadow", "shadow", idempotency.Policy{Key: idempotency.KeyShadow}},
		{"key format", "key-format=uuid7", idempotency.Policy{KeyFormat: idempotency.KeyUUIDv7}},
		{"retention", "retention=24h", idempotency.Policy{Retention: hours24}},
		{"days", "retention=30d", idempotency.Policy{Retention: 30 * hours24}},
		{"days and hours", "retention=1d12h30m", idempotency.Policy{Retention: 36*time.Hour + 30*time.Minute}},
		{"least retention", "min-retention=90s", idempotency.Policy{MinRetention: 90 * time.Second}},
		{"lease", "lease=1.5s", idempotency.Policy{Lease: 1500 * time.Millisecond}},
		{"maximum hold", "max-hold=1h30m", idempotency.Policy{MaxHold: 90 * time.Minute}},
		{"wait", "wait=2s", idempotency.Policy{Wait: 2 * time.Second}},
		{"no wait", "wait=none", idempotency.Policy{Wait: idempotency.NoWait}},
		{"waiters", "max-waiters=50", idempotency.Policy{MaxWaiters: 50}},
		{"conflict", "conflict=425", idempotency.Policy{Conflict: idempotency.Conflict425}},
		{"orphan", "orphan=rerun-unmarked", idempotency.Policy{Orphan: idempotency.OrphanRerunUnmarked}},
		{"record", "record=success", idempotency.Policy{Record: idempotency.RecordSuccess}},
		{"failure", "failure=unknown", idempotency.Policy{Failure: idempotency.FailureUnknown}},
		{"store down", "store-down=open", idempotency.Policy{StoreDown: idempotency.StoreDownOpen}},
		{"caller", "caller=attached", idempotency.Policy{Caller: idempotency.CallerAttached}},
		{"stream", "stream=pass", idempotency.Policy{Stream: idempotency.StreamPass}},
		{"fingerprint", "fingerprint=json", idempotency.Policy{Fingerprint: idempotency.FingerprintJSON}},
		{"only", "fingerprint-only=/a|/b", idempotency.Policy{FingerprintOnly: []string{"/a", "/b"}}},
		{"exclude", "fingerprint-exclude=/ts", idempotency.Policy{FingerprintExclude: []string{"/ts"}}},
		{"fingerprint headers", "fingerprint-headers=X-A|X-B", idempotency.Policy{FingerprintHeaders: []string{"X-A", "X-B"}}},
		{"headers", "headers=X-A", idempotency.Policy{Headers: []string{"X-A"}}},
		{"plain number", "max-request-body=4096", idempotency.Policy{MaxRequestBody: 4096}},
		{"bytes", "max-request-body=4096B", idempotency.Policy{MaxRequestBody: 4096}},
		{"KiB", "max-response-body=64KiB", idempotency.Policy{MaxResponseBody: 64 << 10}},
		{"MiB", "max-response-body=2MiB", idempotency.Policy{MaxResponseBody: 2 << 20}},
		{"encoded", "fingerprint-only=/a%20b%2C%7c|/%25%0A/é", idempotency.Policy{FingerprintOnly: []string{"/a b,|", "/%\n/é"}}},
		{"several, spaces, any order", " wait=2s ,\trequired ", idempotency.Policy{Key: idempotency.KeyRequired, Wait: 2 * time.Second}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := idempotency.ParsePolicy(tt.text)
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
			again, err := idempotency.ParsePolicy(got.String())
			require.NoError(t, err)
			assert.Equal(t, got, again)
		})
	}
}

func TestParsePolicyNamesWordPlaceAndNearest(t *testing.T) {
	t.Parallel()
	const of = "idempotency: policy: word "
	tests := []struct{ name, text, want string }{
		{"unknown name", "required,retnetion=1h", of + `2, at byte 9, "retnetion=1h": there is no such word; the nearest is "retention="`},
		{"unknown alone", "requird", of + `1, at byte 0, "requird": there is no such word; the nearest is "required"`},
		{"another case", "Optional", of + `1, at byte 0, "Optional": there is no such word; the nearest is "optional"`},
		{"offset after spaces", "required ,  of", of + `2, at byte 12, "of": there is no such word; the nearest is "off"`},
		{"space before the value's sign", "lease =1s", of + `1, at byte 0, "lease =1s": there is no such word; the nearest is "lease="`},
		{"no value", "lease", of + `1, at byte 0, "lease": it needs a value, such as "lease=30s"`},
		{"empty value", "orphan=", of + `1, at byte 0, "orphan=": it needs a value, such as "orphan=refuse"`},
		{"a value too much", "required=true", of + `1, at byte 0, "required=true": it has no value: write "required"`},
		{"unknown value", "orphan=rern", of + `1, at byte 0, "orphan=rern": the value is not one of ["refuse" "rerun-unmarked" "rerun"]; the nearest is "rerun"`},
		{"twice", "wait=1s,off,wait=2s", of + `3, at byte 12, "wait=2s": word 1 says that already`},
		{"two keys", "required,optional", of + `2, at byte 9, "optional": word 1 says that already`},
		{"nothing between commas", "required,,wait=1s", of + `2, at byte 9, "": there is nothing between two commas, or before or after one`},
		{"comma at the end", "off,", of + `2, at byte 4, "": there is nothing between two commas, or before or after one`},
		{"no unit", "lease=30", of + `1, at byte 0, "lease=30": the value is not a duration above zero, such as "90s", "1h30m" or "30d"`},
		{"zero", "lease=0s", of + `1, at byte 0, "lease=0s": the value is not a duration above zero, such as "90s", "1h30m" or "30d"`},
		{"negative", "lease=-1s", of + `1, at byte 0, "lease=-1s": the value is not a duration above zero, such as "90s", "1h30m" or "30d"`},
		{"too long", "lease=65535d2540400h", of + `1, at byte 0, "lease=65535d2540400h": the value is not a duration above zero, such as "90s", "1h30m" or "30d"`},
		{"no wait", "wait=0", of + `1, at byte 0, "wait=0": the value is not a duration above zero, such as "90s", "1h30m" or "30d"; without waiting it is "wait=none"`},
		{"waiters", "max-waiters=0", of + `1, at byte 0, "max-waiters=0": the value is not a whole number above zero`},
		{"size's unit", "max-request-body=1MB", of + `1, at byte 0, "max-request-body=1MB": the value is not a size above zero, such as "4096", "64KiB" or "1MiB"`},
		{"size too large", "max-request-body=9007199254740993MiB", of + `1, at byte 0, "max-request-body=9007199254740993MiB": the value is not a size above zero, such as "4096", "64KiB" or "1MiB"`},
		{"empty item", "headers=X-A||X-B", of + `1, at byte 0, "headers=X-A||X-B": an item of the list is empty`},
		{"space in an item", "headers=X-A | X-B", of + `1, at byte 0, "headers=X-A | X-B": an item of the list has " " in it: write "%20"`},
		{"cut encoding", "headers=X%2", of + `1, at byte 0, "headers=X%2": after "%" there must be two hexadecimal digits: the character itself is "%25"`},
		{"no encoding", "headers=X%zz", of + `1, at byte 0, "headers=X%zz": after "%" there must be two hexadecimal digits: the character itself is "%25"`},
		{
			"all at once", "of,lease=x",
			of + `1, at byte 0, "of": there is no such word; the nearest is "off"` + "\n" +
				of + `2, at byte 3, "lease=x": the value is not a duration above zero, such as "90s", "1h30m" or "30d"`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := idempotency.ParsePolicy(tt.text)
			assert.EqualError(t, err, tt.want)
			assert.Zero(t, got)
		})
	}
}

func TestPolicyStringIsShortAndInOneOrder(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		p    idempotency.Policy
		want string
	}{
		{"nothing", idempotency.Policy{}, ""},
		{"a day", idempotency.Policy{Retention: hours24}, "retention=24h"},
		{"days", idempotency.Policy{Retention: 7 * hours24}, "retention=7d"},
		{"no trailing zeros", idempotency.Policy{Lease: 90 * time.Minute, MaxHold: 2 * time.Minute}, "lease=1h30m,max-hold=2m"},
		{"ten minutes keep their zero", idempotency.Policy{Lease: 10 * time.Minute, Wait: 10 * time.Second}, "lease=10m,wait=10s"},
		{"fractions", idempotency.Policy{Lease: 1500 * time.Millisecond}, "lease=1.5s"},
		{"sizes", idempotency.Policy{MaxRequestBody: 1000, MaxResponseBody: 3 << 10}, "max-request-body=1000,max-response-body=3KiB"},
		{"fit for a struct tag", idempotency.Policy{Headers: []string{`a"b\c` + "`"}}, "headers=a%22b%5Cc%60"},
		{
			"defaults", idempotency.DefaultPolicy(),
			"required,key-format=any,retention=24h,lease=30s,max-hold=15m,wait=none,max-waiters=10000,conflict=409," +
				"orphan=refuse,record=deterministic,failure=release,store-down=closed,caller=detached,stream=buffer," +
				"fingerprint=request,max-request-body=1MiB,max-response-body=1MiB",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, tt.p.String())
			again, err := idempotency.ParsePolicy(tt.want)
			require.NoError(t, err)
			assert.Equal(t, tt.p, again)
		})
	}
}

// Every field of a Policy has a word: a field that the table forgets would be
// lost on its way through a text.
func TestEveryPolicyFieldHasAWord(t *testing.T) {
	t.Parallel()
	var fields []string
	for _, row := range idempotency.PolicyTable() {
		fields = append(fields, row.Field)
	}
	var want []string
	for field := range reflect.TypeFor[idempotency.Policy]().Fields() {
		want = append(want, field.Name)
	}
	assert.ElementsMatch(t, want, fields)
}

// The table of words in the documentation is the one that is parsed by.
func TestDocumentationHasTheTableOfWords(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/policy.md")
	require.NoError(t, err)
	var table strings.Builder
	for _, row := range idempotency.PolicyTable() {
		fmt.Fprintf(&table, "| %s | `%s` | %s |\n", row.Spelling, row.Field, row.Default)
	}
	assert.Contains(t, string(page), table.String())
}

// FuzzParsePolicy: no text makes ParsePolicy panic; what it accepts is written
// in one form that gives the same policy back, and is not changed by that.
func FuzzParsePolicy(f *testing.F) {
	for _, seed := range []string{
		"", "required,retention=24h,wait=2s,orphan=rerun-unmarked", idempotency.DefaultPolicy().String(),
		" shadow , lease=1d2h3m4s ", "off,", "=,=", "wait=none,max-waiters=1", "headers=%41|X%2CB|%7c",
		"fingerprint-only=/a|/b%20c,fingerprint=json", "max-request-body=1MiB,max-response-body=7B", "lease=106751d23h", "lease=1ns",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := idempotency.ParsePolicy(text)
		if err != nil {
			assert.ErrorContains(t, err, "idempotency: policy: word ")
			assert.Zero(t, p)
			return
		}
		again, err := idempotency.ParsePolicy(p.String())
		require.NoError(t, err, p.String())
		assert.Equal(t, p, again)
		assert.Equal(t, p.String(), again.String())
	})
}

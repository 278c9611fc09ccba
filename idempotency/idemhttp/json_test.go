package idemhttp

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// jsonPolicy returns the policy of canonical JSON with a selection.
func jsonPolicy(only, exclude []string, headers ...string) idempotency.Policy {
	return idempotency.Policy{
		Fingerprint:        idempotency.FingerprintJSON,
		FingerprintOnly:    only,
		FingerprintExclude: exclude,
		FingerprintHeaders: headers,
	}
}

func newTestFingerprinter(t testing.TB, policy idempotency.Policy) fingerprinter {
	t.Helper()
	f, err := newFingerprinter(policy, []string{"Idempotency-Key"})
	require.NoError(t, err)
	return f
}

// jsonSum is the fingerprint of a JSON body.
func jsonSum(t testing.TB, f fingerprinter, body string) store.Fingerprint {
	t.Helper()
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("Content-Type", "application/json")
	return f.of(r, []byte(body))
}

func TestF8_F10_F12_F13_WhatJSONBodiesSay(t *testing.T) {
	t.Parallel()
	nested := func(depth int, space string) string {
		return strings.Repeat("["+space, depth) + strings.Repeat("]", depth)
	}
	tests := []struct {
		name string
		a, b string
		same bool
	}{
		{"F8 members reordered", `{"a":1,"b":{"c":2,"d":3}}`, `{"b":{"d":3,"c":2},"a":1}`, true},
		{"F8 reindented", `{"a":[1,2]}`, "\n{ \"a\" :\t[ 1 ,\r\n2 ] }\n", true},
		{"F8 members reordered within an array", `[{"a":1,"b":2}]`, `[{"b":2,"a":1}]`, true},
		{"F8 reindented scalar", `"x"`, ` "x" `, true},
		{"elements reordered", `[1,2]`, `[2,1]`, false},
		{"other value", `{"a":1}`, `{"a":2}`, false},
		{"other name", `{"a":1}`, `{"b":1}`, false},
		{"names are case-sensitive", `{"a":1}`, `{"A":1}`, false},
		{"object and array", `{}`, `[]`, false},
		{"number and string", `{"a":1}`, `{"a":"1"}`, false},
		{"true and string", `true`, `"true"`, false},
		{"empty string and null", `{"a":""}`, `{"a":null}`, false},
		{"moved into another object", `{"a":{"x":1},"b":{}}`, `{"a":{},"b":{"x":1}}`, false},
		{"F10 null and absent", `{"a":1,"b":null}`, `{"a":1}`, false},

		{"escaped letter", `{"a":"\u0041"}`, `{"a":"A"}`, true},
		{"escaped name", `{"\u0061":1}`, `{"a":1}`, true},
		{"escaped slash", `"a\/b"`, `"a/b"`, true},
		{"line feed in two spellings", `"\n"`, `"\u000a"`, true},
		{"surrogate pair", `"\ud83d\ude00"`, `"😀"`, true},
		{"surrogate pair in capitals", `"\uD83D\uDE00"`, `"\ud83d\ude00"`, true},
		{"an escaped backslash is no escape", `"\\u0041"`, `"A"`, false},
		{"NUL", `"\u0000"`, `""`, false},
		{"F13 composed and decomposed", "\"caf\u00e9\"", "\"cafe\u0301\"", false},
		{"F13 composed and decomposed names", "{\"caf\u00e9\":1}", "{\"cafe\u0301\":1}", false},
		{"names are sorted by UTF-16", "{\"\U0001F600\":1,\"\uffff\":2}", "{\"\uffff\":2,\"\\ud83d\\ude00\":1}", true},

		{"100 and 1e2", `100`, `1e2`, true},
		{"1 and 1.0", `1`, `1.0`, true},
		{"1 and 10e-1", `1`, `10e-1`, true},
		{"1E+2 and 1e2", `1E+2`, `1e2`, true},
		{"0 and -0", `0`, `-0`, true},
		{"0 and -0.0", `0`, `-0.0`, true},
		{"0 and 0e99999", `0`, `0e99999`, true},
		{"1 and -1", `1`, `-1`, false},
		{"0.1 and 0.10", `0.1`, `0.10`, true},
		{"0.1 and 1e-1", `0.1`, `1e-1`, true},
		{"F12 integers over 2^53", `9007199254740993`, `9007199254740992`, false},
		{"F12 negative integers over 2^53", `-9007199254740993`, `-9007199254740992`, false},
		{"F12 integers over 2^53 reindented", `{"a":9007199254740993}`, `{ "a": 9007199254740993 }`, true},
		{"F12 integers of 30 digits", `100000000000000000000000000001`, `100000000000000000000000000002`, false},
		{"1e20 and its digits", `1e20`, `100000000000000000000`, true},
		{"1e25 and its digits", `1e25`, `10000000000000000000000000`, true},
		{"15 digits", `0.123456789012345`, `123456789012345e-15`, true},
		{"15 digits, the last one differs", `0.123456789012345`, `0.123456789012346`, false},
		{"F12 16 digits fall back", `[0.1234567890123456]`, `[ 0.1234567890123456]`, false},
		{"F12 16 digits as they are", `[0.1234567890123456]`, `[0.1234567890123456]`, true},
		{"F12 17 digits that are one float64", `0.10000000000000001`, `0.1`, false},
		{"F12 float over 2^53", `9007199254740993.0`, `9007199254740992`, false},
		{"F12 over the range", `1e400`, `1e401`, false},
		{"F12 over the range, saturated", `1e400`, `1.7976931348623157e308`, false},
		{"F12 below the range", `1e-400`, `0`, false},
		{"F12 below the range, both", `1e-400`, `1e-401`, false},
		{"F12 subnormal", `1e-320`, `1.00001e-320`, false},
		{"the least normal power of ten", `1e-307`, `10e-308`, true},
		{"F12 an exponent without end", `1e99999999999999999999`, `1e9999999999999999999`, false},
		{"F12 zeros against the exponent", `1` + strings.Repeat("0", 20000) + `.0e-200009`, `1`, false},

		{"F12 duplicate name", `{"a":1,"a":2}`, `{"a":2}`, false},
		{"F12 duplicate name, first one", `{"a":1,"a":2}`, `{"a":1}`, false},
		{"F12 duplicate name, other order", `{"a":1,"a":2}`, `{"a":2,"a":1}`, false},
		{"F12 duplicate name reindented", `{"a":1,"a":2}`, `{"a":1, "a":2}`, false},
		{"F12 duplicate name deep down", `[{"x":{"a":1,"a":2}}]`, `[{"x":{"a":2}}]`, false},
		{"F12 duplicate name by an escape", `{"a":1,"\u0061":2}`, `{"a":2}`, false},
		{"F12 invalid UTF-8", "\"\xff\"", "\"\xfe\"", false},
		{"F12 invalid UTF-8 and its replacement", "\"\xff\"", "\"\ufffd\"", false},
		{"F12 invalid UTF-8 in a name", "{\"\xff\":1}", "{\"\xfe\":1}", false},
		{"F12 half a surrogate pair", `"\ud800"`, `"\ud801"`, false},
		{"F12 half a surrogate pair and the replacement", `"\ud800"`, "\"\ufffd\"", false},
		{"F12 surrogates in the wrong order", `"\ude00\ud83d"`, `"\ude01\ud83d"`, false},
		{"F12 trailing garbage", `{"a":1}x`, `{"a":1}`, false},
		{"F12 a second value", `{"a":1}{"b":2}`, `{"a":1}`, false},
		{"F12 a second value, spaced", `1 2`, `1  2`, false},
		{"F12 trailing comma", `[1,]`, `[1]`, false},
		{"F12 comment", `[1] // one`, `[1]`, false},
		{"F12 byte order mark", "\ufeff[1]", `[1]`, false},
		{"F12 truncated", `{"a":1`, `{"a":1 `, false},
		{"F12 not a number", `[NaN]`, `[ NaN]`, false},
		{"F12 leading zero", `[01]`, `[ 01]`, false},
		{"F12 line feed in a string", "\"a\n\"", `"a\n"`, false},
		{"nothing and a space", ``, ` `, false},
		{"as deep as it may be", nested(maxJSONDepth, ""), nested(maxJSONDepth, " "), true},
		{"F12 too deep", nested(maxJSONDepth+1, ""), nested(maxJSONDepth+1, " "), false},
		{"F12 absurdly deep", nested(200_000, ""), nested(200_000, " "), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newTestFingerprinter(t, jsonPolicy(nil, nil))
			a, b := jsonSum(t, f, tt.a), jsonSum(t, f, tt.b)
			assert.Equal(t, tt.same, a.Equal(b))
			assert.Equal(t, a, jsonSum(t, f, tt.a), "itself")
			assert.Equal(t, "json/1", a.Algorithm)
		})
	}
}

func TestF8_OnlyWhatSaysThatItIsJSONCountsByItsMeaning(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, contentType, coding string
		same                      bool
	}{
		{"json", "application/json", "", true},
		{"json in UTF-8", "application/json; charset=UTF-8", "", true},
		{"a json of its own", "application/vnd.acme.order+json; v=2", "", true},
		{"capitals", "Application/JSON", "", true},
		{"no type", "", "", false},
		{"text", "text/plain", "", false},
		{"lines of json", "application/x-ndjson", "", false},
		{"another charset", "application/json; charset=utf-16", "", false},
		{"type that does not parse", "application/json; charset", "", false},
		{"compressed", "application/json", "gzip", false},
		{"identity", "application/json", "identity", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newTestFingerprinter(t, jsonPolicy(nil, nil))
			sum := func(body string) store.Fingerprint {
				r := httptest.NewRequest("POST", "/", nil)
				if tt.contentType != "" {
					r.Header.Set("Content-Type", tt.contentType)
				}
				if tt.coding != "" {
					r.Header.Set("Content-Encoding", tt.coding)
				}
				return f.of(r, []byte(body))
			}
			assert.Equal(t, tt.same, sum(`{"a":1,"b":2}`) == sum(`{ "b":2, "a":1 }`))
		})
	}
}

// A body that is not comparable may be, byte for byte, another's canonical form.
func TestF12_RawAndCanonicalBodiesNeverMeet(t *testing.T) {
	t.Parallel()
	f := newTestFingerprinter(t, jsonPolicy(nil, nil))
	sum := func(contentType string) [32]byte {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("Content-Type", "application/json")
		form, digest := f.canonicalSum(r, []byte(`{"a":1}`))
		assert.Equal(t, asCanonical, form)
		r.Header.Set("Content-Type", contentType)
		form, raw := f.canonicalSum(r, []byte(`{"a":1}`))
		assert.Equal(t, asSent, form)
		assert.Equal(t, digest, raw, "the bytes are the same, the form tells them apart")
		return raw
	}
	sum("text/plain")
	raw := newTestFingerprinter(t, idempotency.Policy{Fingerprint: idempotency.FingerprintRequest})
	assert.NotEqual(t, jsonSum(t, raw, `{"a":1}`).Sum, jsonSum(t, f, `{"a":1}`).Sum)
}

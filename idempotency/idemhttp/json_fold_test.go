package idemhttp

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
)

func TestF12_F14_JSONNamesThatDifferInCaseOnly(t *testing.T) {
	t.Parallel()
	amount, meta := []string{"/amount"}, []string{"/meta"}
	tests := []struct {
		name          string
		only, exclude []string
		a, b          string
		same          bool
	}{
		{"twice, reordered", nil, nil, `{"amount":1,"Amount":999}`, `{"Amount":999,"amount":1}`, false},
		{"twice, respaced", nil, nil, `{"amount":1,"Amount":2}`, `{"amount":1, "Amount":2}`, false},
		{"twice, as it is", nil, nil, `{"amount":1,"Amount":2}`, `{"amount":1,"Amount":2}`, true},
		{"twice, far apart", nil, nil, `{"amount":1,"x":0,"y":0,"AMOUNT":2}`, `{"AMOUNT":2,"x":0,"y":0,"amount":1}`, false},
		{"twice, by an escape", nil, nil, `{"a":1,"\u0041":2}`, `{"\u0041":2,"a":1}`, false},
		{"twice, deep down", nil, nil, `[{"x":{"a":1,"A":2}}]`, `[{"x":{"A":2,"a":1}}]`, false},
		{"twice, long s", nil, nil, `{"s":1,"ſ":2}`, `{"ſ":2,"s":1}`, false},
		{"twice, Kelvin sign", nil, nil, `{"k":1,"\u212a":2}`, `{"\u212a":2,"k":1}`, false},
		{"twice, Greek final sigma", nil, nil, `{"Σ":1,"ς":2}`, `{"ς":2,"Σ":1}`, false},
		{"in two objects", nil, nil, `{"a":{"x":1},"b":{"X":2}}`, `{"b":{"X":2},"a":{"x":1}}`, true},
		{"in an object and the one within", nil, nil, `{"a":{"A":1},"b":2}`, `{"b":2,"a":{"A":1}}`, true},
		{"dotless i is a letter of its own", nil, nil, `{"i":1,"ı":2}`, `{"ı":2,"i":1}`, true},
		{"sharp s is no ss", nil, nil, `{"ss":1,"ß":2}`, `{"ß":2,"ss":1}`, true},
		{"underscore counts", nil, nil, `{"a_b":1,"ab":2}`, `{"ab":2,"a_b":1}`, true},

		{"only, in another case", amount, nil, `{"Amount":5}`, `{"Amount":999}`, false},
		{"only, in two cases", amount, nil, `{"amount":1,"AMOUNT":5}`, `{"amount":1,"AMOUNT":999}`, false},
		{"only, on the way", []string{"/card/number"}, nil, `{"Card":{"number":5}}`, `{"Card":{"number":9}}`, false},
		{"only, within", []string{"/card/number"}, nil, `{"card":{"Number":5}}`, `{"card":{"Number":9}}`, false},
		{"only, within an element", []string{"/0/n"}, nil, `[{"N":5}]`, `[{"N":9}]`, false},
		{"only, long s", []string{"/sum"}, nil, `{"ſum":5}`, `{"ſum":9}`, false},
		{"only, another level", amount, nil, `{"amount":1,"x":{"Amount":5}}`, `{"amount":1,"x":{"Amount":9}}`, true},
		{"only, all in a chosen one", amount, nil, `{"amount":{"Amount":5,"b":1}}`, `{"amount":{"b":1,"Amount":5}}`, true},
		{"only, both cases chosen", []string{"/a", "/A"}, nil, `{"A":1,"x":1}`, `{"A":1,"x":2}`, true},
		{"only, a third case", []string{"/aa", "/AA"}, nil, `{"Aa":1}`, `{"Aa":2}`, false},

		{"excluded, in another case", nil, meta, `{"n":1,"Meta":5}`, `{"Meta":5,"n":1}`, false},
		{"excluded, in two cases", nil, meta, `{"meta":1,"Meta":5}`, `{"meta":2,"Meta":5}`, false},
		{"excluded, on the way", nil, []string{"/card/cvc"}, `{"Card":{"a":1,"b":2}}`, `{"Card":{"b":2,"a":1}}`, false},
		{"excluded, and twice in it", nil, meta, `{"meta":{"a":1,"A":2}}`, `{"meta":{"a":1,"A":3}}`, false},
		{"excluded element, and twice in it", nil, []string{"/0"}, `[{"a":1,"A":2}]`, `[{"a":1,"A":3}]`, false},
		{"chosen in one case, excluded in another", []string{"/a"}, []string{"/A"}, `{"a":1,"b":1}`, `{"b":1,"a":1}`, false},
		{"too deep in an excluded one", nil, meta, `{"meta":` + strings.Repeat("[", maxJSONDepth) + strings.Repeat("]", maxJSONDepth) + `}`, `{}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newTestFingerprinter(t, jsonPolicy(tt.only, tt.exclude))
			assert.Equal(t, tt.same, jsonSum(t, f, tt.a).Equal(jsonSum(t, f, tt.b)))
		})
	}
}

// The rule behind it: whatever a Go handler reads of the parts that count is the
// same for two bodies with one fingerprint.
func TestF12_F14_OneFingerprintIsOneReadingByEncodingJSON(t *testing.T) {
	t.Parallel()
	type read struct {
		Amount int `json:"amount"`
		Risk   int `json:"risk"`
	}
	var bodies []string
	for _, first := range members() {
		bodies = append(bodies, "{"+first+"}")
		for _, second := range members() {
			bodies = append(bodies, "{"+first+","+second+"}")
		}
	}
	for name, policy := range map[string]struct {
		only, exclude []string
		counts        func(read) read
	}{
		"whole":   {nil, nil, func(r read) read { return r }},
		"only":    {[]string{"/amount"}, nil, func(r read) read { return read{Amount: r.Amount} }},
		"exclude": {nil, []string{"/risk"}, func(r read) read { return read{Amount: r.Amount} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newTestFingerprinter(t, jsonPolicy(policy.only, policy.exclude))
			first := make(map[store.Fingerprint]string)
			readings := make(map[store.Fingerprint]read)
			for _, body := range bodies {
				var got read
				require.NoError(t, json.Unmarshal([]byte(body), &got))
				got = policy.counts(got)
				sum := jsonSum(t, f, body)
				if _, seen := first[sum]; !seen {
					first[sum], readings[sum] = body, got
				}
				require.Equal(t, readings[sum], got, "%s and %s", first[sum], body)
			}
			assert.Less(t, len(first), len(bodies), "some are the same")
		})
	}
}

func members() []string {
	var all []string
	for _, name := range []string{"amount", "Amount", "AMOUNT", "risk", "Risk", "riſk", "ris\u212a", "other"} {
		for value := range 2 {
			all = append(all, fmt.Sprintf("%q:%d", name, value+1))
		}
	}
	return all
}

// Names are one exactly if encoding/json says so.
func TestF12_NamesAreFoldedAsEncodingJSONDoes(t *testing.T) {
	t.Parallel()
	for r := rune(1); r <= unicode.MaxRune; r++ {
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			if foldName([]byte(string(r))) != foldName([]byte(string(other))) {
				t.Errorf("%q and %q", r, other)
			}
		}
	}
	for _, pair := range [][2]string{{"a", "b"}, {"[", "{"}, {"@", "`"}, {"ß", "ss"}, {"i", "ı"}, {"a_b", "ab"}, {"a", "aa"}} {
		assert.NotEqual(t, foldName([]byte(pair[0])), foldName([]byte(pair[1])), "%q", pair)
	}
	long := strings.Repeat("Name", 50)
	assert.Equal(t, foldName([]byte(strings.ToLower(long))), foldName([]byte(strings.ToUpper(long))))
}

package idemhttp

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

func TestF14_HeadersThatCount(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		a, b []string // lines of X-Api-Version
		same bool
	}{
		{"equal", []string{"1"}, []string{"1"}, true},
		{"other value", []string{"1"}, []string{"2"}, false},
		{"absent and empty", nil, []string{""}, false},
		{"absent", nil, nil, true},
		{"one line and two", []string{"1, 2"}, []string{"1", "2"}, false},
		{"lines keep their order", []string{"1", "2"}, []string{"2", "1"}, false},
		{"case of the value", []string{"a"}, []string{"A"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newTestFingerprinter(t, idempotency.Policy{FingerprintHeaders: []string{"x-api-version"}})
			sum := func(lines []string) store.Fingerprint {
				r := httptest.NewRequest("POST", "/", nil)
				r.Header["X-Api-Version"] = lines
				r.Header.Set("X-Other", fmt.Sprint(lines))
				return f.of(r, nil)
			}
			assert.Equal(t, tt.same, sum(tt.a) == sum(tt.b))
			assert.Regexp(t, `^h1[0-9a-f]{6}$`, sum(nil).Algorithm)
		})
	}
	t.Run("the host", func(t *testing.T) {
		t.Parallel()
		f := newTestFingerprinter(t, idempotency.Policy{FingerprintHeaders: []string{"host"}})
		a := f.of(httptest.NewRequest("POST", "http://a.example/", nil), nil)
		assert.NotEqual(t, a, f.of(httptest.NewRequest("POST", "http://b.example/", nil), nil))
	})
}

func TestF14_HeadersThatMustNotCount(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]string{
		"":                  "not a field name",
		"X Version":         "not a field name",
		"X:Version":         "not a field name",
		"idempotency-key":   "carries the idempotency key",
		"X-Key":             "carries the idempotency key",
		"connection":        "one connection",
		"Proxy-Anything":    "one connection",
		"transfer-encoding": "one connection",
		"X-Forwarded-For":   "one connection",
		"content-length":    "counts already",
		"content-type":      "counts already",
		"date":              "later one",
		"traceparent":       "names one try",
		"X-B3-TraceId":      "names one try",
		"x-request-id":      "names one try",
		"Authorization":     "credentials",
	} {
		_, err := newFingerprinter(idempotency.Policy{FingerprintHeaders: []string{"X-Version", name}},
			[]string{"Idempotency-Key", "X-Key"})
		require.ErrorContains(t, err, says, name)
		require.ErrorContains(t, err, "FingerprintHeaders")
		assert.NotContains(t, err.Error(), "X-Version")
	}
}

func TestF23_TheNameTellsTheConfiguration(t *testing.T) {
	t.Parallel()
	raw := func(headers ...string) idempotency.Policy { return idempotency.Policy{FingerprintHeaders: headers} }
	different := []idempotency.Policy{
		{Fingerprint: idempotency.FingerprintOff},
		raw(), raw("A"), raw("B"), raw("A", "B"),
		jsonPolicy(nil, nil),
		jsonPolicy(nil, nil, "A"),
		jsonPolicy([]string{"/a"}, nil),
		jsonPolicy(nil, []string{"/a"}),
		jsonPolicy(nil, []string{"/a", "/b"}),
		jsonPolicy(nil, []string{"/a/b"}),
		jsonPolicy([]string{"/a"}, []string{"/b"}),
		jsonPolicy([]string{"/b"}, []string{"/a"}),
	}
	names := make(map[string]int)
	for i, policy := range different {
		name := newTestFingerprinter(t, policy).algorithm
		require.NotContains(t, names, name, "%v", policy)
		names[name] = i
		assert.LessOrEqual(t, len(name), store.MaxWord)
		assert.Regexp(t, `^[!-~]+$`, name)
	}
	for _, plain := range []string{"none", "http/1", "json/1"} {
		assert.Contains(t, names, plain)
	}
	same := func(a, b idempotency.Policy) {
		assert.Equal(t, newTestFingerprinter(t, a).algorithm, newTestFingerprinter(t, b).algorithm)
	}
	same(raw("A", "B"), raw("b", "a", "B"))
	same(jsonPolicy(nil, []string{"/a", "/b"}), jsonPolicy(nil, []string{"/b", "/a"}))
}

func TestF23_ARouteKnowsTheSimpleAlgorithmsAndItsOwn(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("Content-Type", "application/json")
	body := []byte(`{ "a": 1 }`)
	excluding := newTestFingerprinter(t, jsonPolicy(nil, []string{"/a"}))
	other := newTestFingerprinter(t, jsonPolicy(nil, []string{"/b"}))
	for _, policy := range []idempotency.Policy{
		{}, jsonPolicy(nil, nil), jsonPolicy(nil, []string{"/a"}), {Fingerprint: idempotency.FingerprintOff},
	} {
		own := newTestFingerprinter(t, policy)
		known := fingerprints{own: &own, request: r, body: body}
		for _, algorithm := range []fingerprinter{
			own, {algorithm: "http/1"}, {algorithm: "none"}, newTestFingerprinter(t, jsonPolicy(nil, nil)),
		} {
			got, ok := known.by(algorithm.algorithm)
			require.True(t, ok, "%s by %s", algorithm.algorithm, own.algorithm)
			assert.Equal(t, algorithm.of(r, body), got)
			again, _ := known.by(algorithm.algorithm)
			assert.Equal(t, got, again)
		}
		for _, name := range []string{"", "http/2", other.algorithm} {
			_, ok := known.by(name)
			assert.False(t, ok, "%s by %s", name, own.algorithm)
		}
	}
	none, _ := (&fingerprints{own: &excluding, request: r, body: body}).by("none")
	assert.Zero(t, none.Sum, "the key alone binds")
}

// The digits of a configuration in an algorithm's name are few. Two that share
// them make different sums all the same.
func TestF23_ConfigurationsOfOneNameDoNotMeet(t *testing.T) {
	t.Parallel()
	a := newTestFingerprinter(t, jsonPolicy(nil, []string{"/a"}))
	b := newTestFingerprinter(t, jsonPolicy(nil, []string{"/b"}))
	b.algorithm = a.algorithm
	assert.NotEqual(t, jsonSum(t, a, `{"c":1}`), jsonSum(t, b, `{"c":1}`))
}

func TestF23_TheJSONAlgorithmDoesNotDrift(t *testing.T) {
	t.Parallel()
	body := `{"z":[1.50,9007199254740993,-0,1e25,true,null],"\u0061":"\ud83d\ude00\u0007\/","at":1}`
	canonical, ok := canonicalJSON([]byte(body), selection{})
	require.True(t, ok)
	want := []byte("{\"a\":\"😀\\u0007/\",\"at\":1,\"z\":[1.5,9007199254740993,0,1e+25,true,null]}")
	assert.Equal(t, want, canonical, "%s", canonical)
	plain := jsonSum(t, newTestFingerprinter(t, jsonPolicy(nil, nil)), body)
	assert.Equal(t, goldenCanonical, fmt.Sprintf("%s %x", plain.Algorithm, plain.Sum))
	chosen := jsonSum(t, newTestFingerprinter(t, jsonPolicy([]string{"/z", "/at"}, []string{"/z/0"}, "X-Version")), body)
	assert.Equal(t, goldenChosen, fmt.Sprintf("%s %x", chosen.Algorithm, chosen.Sum))
}

const (
	goldenCanonical = "json/1 55a4f7c7b46d8d05b5917acfe18dbc9d9ddbd9047353a1b249af01f9b9eed69d"
	goldenChosen    = "j183cae6 d36b0387bb63ec4576ea00520e95bb506d6db67f415eae0ec38eeb5a4de40941"
)

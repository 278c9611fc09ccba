package idemhttp

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestF14_PartsThatCount(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		only, exclude []string
		a, b          string
		same          bool
	}{
		{"excluded member", nil, []string{"/at"}, `{"n":1,"at":1}`, `{"at":2,"n":1}`, true},
		{"excluded member missing", nil, []string{"/at"}, `{"n":1,"at":1}`, `{"n":1}`, true},
		{"excluded member null", nil, []string{"/at"}, `{"n":1,"at":null}`, `{"n":1,"at":[{}]}`, true},
		{"other member", nil, []string{"/at"}, `{"n":1,"at":1}`, `{"n":2,"at":1}`, false},
		{"the same name elsewhere counts", nil, []string{"/at"}, `{"x":{"at":1}}`, `{"x":{"at":2}}`, false},
		{"excluded by an escaped name", nil, []string{"/at"}, `{"n":1,"\u0061t":1}`, `{"n":1}`, true},
		{"excluded deep down", nil, []string{"/a/b/1/c"}, `{"a":{"b":[0,{"c":1,"d":2}]}}`, `{"a":{"b":[0,{"c":9,"d":2}]}}`, true},
		{"excluded deep down, beside it", nil, []string{"/a/b/1/c"}, `{"a":{"b":[0,{"c":1,"d":2}]}}`, `{"a":{"b":[0,{"c":1,"d":9}]}}`, false},
		{"excluded element of another index", nil, []string{"/a/b/1/c"}, `{"a":{"b":[{"c":1}]}}`, `{"a":{"b":[{"c":9}]}}`, false},
		{"excluded element", nil, []string{"/1"}, `[1,2,3]`, `[1,9,3]`, true},
		{"element after an excluded one", nil, []string{"/1"}, `[1,2,3]`, `[1,3]`, false},
		{"an index is also a name", nil, []string{"/1"}, `{"1":1}`, `{"1":2}`, true},
		{"01 is no index", nil, []string{"/01"}, `[1,2]`, `[1,3]`, false},
		{"- is no element", nil, []string{"/-"}, `[1,2]`, `[1]`, false},
		{"slash in a name", nil, []string{"/a~1b"}, `{"a/b":1}`, `{"a/b":2}`, true},
		{"tilde in a name", nil, []string{"/a~0b"}, `{"a~b":1}`, `{"a~b":2}`, true},
		{"~01 is ~1", nil, []string{"/a~01b"}, `{"a~1b":1}`, `{"a~1b":2}`, true},
		{"empty name", nil, []string{"/"}, `{"":1}`, `{"":2}`, true},
		{"empty name within", nil, []string{"/a/"}, `{"a":{"":1}}`, `{"a":{"":2}}`, true},
		{"a part that falls back elsewhere", nil, []string{"/at"}, `{"n":1,"at":0.12345678901234567}`, `{"n":1,"at":1e999}`, true},
		{"F12 duplicates in an excluded part", nil, []string{"/at"}, `{"n":1,"at":{"a":1,"a":2}}`, `{"n":1,"at":{"a":1,"a":3}}`, false},
		{"F12 invalid JSON: excluded members count", nil, []string{"/at"}, `{"n":1,"at":1`, `{"n":1,"at":2`, false},
		{"F12 excluded duplicate", nil, []string{"/at"}, `{"n":1,"at":1,"at":2}`, `{"n":1}`, false},
		{"scalars have no members", nil, []string{"/at"}, `1`, `2`, false},

		{"chosen member", []string{"/n"}, nil, `{"n":1,"at":1}`, `{"at":2,"n":1.0}`, true},
		{"chosen member differs", []string{"/n"}, nil, `{"n":1}`, `{"n":2}`, false},
		{"chosen member missing and null", []string{"/n"}, nil, `{"n":null}`, `{}`, false},
		{"chosen member missing in both", []string{"/n"}, nil, `{"a":1}`, `{"a":2}`, true},
		{"everything in a chosen member", []string{"/n"}, nil, `{"n":{"a":1}}`, `{"n":{"a":2}}`, false},
		{"two chosen members", []string{"/n", "/m"}, nil, `{"n":1,"m":2}`, `{"n":2,"m":1}`, false},
		{"chosen within", []string{"/card/number"}, nil, `{"card":{"number":1,"cvc":1}}`, `{"card":{"cvc":2,"number":1}}`, true},
		{"chosen within, null on the way", []string{"/card/number"}, nil, `{"card":null}`, `{"card":{}}`, false},
		{"chosen within, nothing on the way", []string{"/card/number"}, nil, `{}`, `{"card":{}}`, false},
		{"chosen within, a scalar on the way", []string{"/card/number"}, nil, `{"card":1}`, `{"card":2}`, false},
		{"chosen element", []string{"/a/0"}, nil, `{"a":[1,2]}`, `{"a":[1,3]}`, true},
		{"chosen element differs", []string{"/a/0"}, nil, `{"a":[1,2]}`, `{"a":[2,2]}`, false},
		{"chosen element and member", []string{"/a/0"}, nil, `{"a":[1]}`, `{"a":{"0":1}}`, false},
		{"chosen twice, the wider counts", []string{"/a", "/a/b"}, nil, `{"a":{"b":1,"c":1}}`, `{"a":{"b":1,"c":2}}`, false},
		{"not the root", []string{"/a"}, nil, `1`, `2`, false},

		{"only, then exclude", []string{"/card"}, []string{"/card/cvc"}, `{"card":{"n":1,"cvc":1},"x":1}`, `{"card":{"n":1},"x":2}`, true},
		{"only, then exclude: the rest counts", []string{"/card"}, []string{"/card/cvc"}, `{"card":{"n":1,"cvc":1}}`, `{"card":{"n":2,"cvc":1}}`, false},
		{"exclude what was not chosen", []string{"/n"}, []string{"/at"}, `{"n":1,"at":1}`, `{"n":1,"at":2}`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newTestFingerprinter(t, jsonPolicy(tt.only, tt.exclude))
			a, b := jsonSum(t, f, tt.a), jsonSum(t, f, tt.b)
			assert.Equal(t, tt.same, a.Equal(b))
			assert.Regexp(t, `^j1[0-9a-f]{6}$`, a.Algorithm)
		})
	}
}

func TestF14_MalformedSelectionsAreConstructionErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		only, exclude []string
		says          string
	}{
		{"tilde alone", []string{"/a~"}, nil, `FingerprintOnly: "/a~" is no JSON Pointer`},
		{"unknown escape", nil, []string{"/a~2b"}, `FingerprintExclude: "/a~2b" is no JSON Pointer`},
		{"no slash", nil, []string{"a"}, `"a" is no JSON Pointer`},
		{"the whole document", nil, []string{""}, `"" is no JSON Pointer`},
		{"fragment", []string{"#/a"}, nil, `"#/a" is no JSON Pointer`},
		{"invalid UTF-8", []string{"/\xff"}, nil, "is no JSON Pointer"},
		{"chosen and excluded", []string{"/a/b"}, []string{"/a"}, `FingerprintOnly: "/a/b" never counts: FingerprintExclude has "/a"`},
		{"chosen and excluded, the same", []string{"/a"}, []string{"/a"}, "never counts"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := newFingerprinter(jsonPolicy(tt.only, tt.exclude), nil)
			require.ErrorContains(t, err, tt.says)
		})
	}
	_, err := newFingerprinter(jsonPolicy([]string{"/ab"}, []string{"/a"}), nil)
	require.NoError(t, err, "a name that begins like another")
}

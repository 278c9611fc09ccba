package idemhttp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzJSONFingerprint holds canonicalJSON to a slow decoder of other making:
// bodies have one fingerprint exactly if they mean the same, or are not
// comparable and the same bytes.
func FuzzJSONFingerprint(f *testing.F) {
	for _, pair := range [][2]string{
		{`{"a":1,"b":[true,null]}`, ` { "b" : [ true , null ] , "a" : 1.0 } `},
		{`[100,1e2,-0,0.0,0e9]`, `[1e2,100,0,-0,0]`},
		{`9007199254740993`, `9007199254740992`},
		{`123456789012345680000`, `1.2345678901234568e20`},
		{`[1e22,1e-7,5e-324,1e400,0.10000000000000001]`, `[10000000000000000000000]`},
		{`{"a":1,"\u0061":2}`, `{"a":2}`},
		{`"\ud83d\ude00"`, `"😀"`},
		{`"\ud800"`, "\"\xff\""},
		{`{"\ufb33":1,"😀":2,"":3}`, `{"":3}`},
		{`{"a":1,"A":2}`, `{"s":1,"\u017f":2}`},
		{`{"k":1,"\u212a":2}`, `{"i":1,"\u0130":2,"\u0131":3}`},
		{`[[[]]]`, `[[]] x`},
		{"", " "},
	} {
		f.Add([]byte(pair[0]), []byte(pair[1]), uint64(len(pair[0])))
	}
	f.Fuzz(func(t *testing.T, a, b []byte, seed uint64) {
		whole := newTestFingerprinter(t, jsonPolicy(nil, nil))
		same := func(a, b []byte) bool { return jsonSum(t, whole, string(a)) == jsonSum(t, whole, string(b)) }
		meaningA, okA := meaningOf(a)
		meaningB, okB := meaningOf(b)
		canonical, ok := canonicalJSON(a, selection{})
		require.Equal(t, okA, ok, "comparable")
		if okA && okB {
			require.Equal(t, meaningA == meaningB, same(a, b))
		} else {
			require.Equal(t, bytes.Equal(a, b), same(a, b))
		}
		if !okA {
			return
		}
		again, ok := canonicalJSON(canonical, selection{})
		require.True(t, ok)
		require.Equal(t, string(canonical), string(again), "canonical is canonical")
		respelled := respell(t, a, rand.New(rand.NewPCG(seed, 1)))
		require.True(t, same(a, respelled), "%s", respelled)
	})
}

// FuzzJSONSelection holds a selection to one that is made on a decoded document.
func FuzzJSONSelection(f *testing.F) {
	f.Add([]byte(`{"a":{"b":[1,{"c":2}]},"d":3}`), "/a/b", "/a/b/1/c")
	f.Add([]byte(`[{"x~/y":1},[2,3]]`), "", "/0/x~0~1y")
	f.Add([]byte(`{"":{"":1},"0":[1]}`), "//", "/0/0")
	f.Add([]byte(`{"a":{"B":1}}`), "", "/a/b")
	f.Add([]byte(`{"a":1,"b":{"C":1}}`), "/a", "/b/c")
	f.Fuzz(func(t *testing.T, doc []byte, only, exclude string) {
		list := func(pointer string) []string {
			if pointer == "" {
				return nil
			}
			return []string{pointer}
		}
		parts, err := newSelection(list(only), list(exclude))
		if err != nil {
			return
		}
		if _, ok := meaningOf(doc); !ok {
			_, _ = canonicalJSON(doc, parts) // does not panic
			return
		}
		cut := decode(t, doc)
		near := only != "" && resembled(cut, tokensOf(only))
		if only != "" {
			cut = keepOnly(cut, tokensOf(only))
		}
		if near || exclude != "" && resembled(cut, tokensOf(exclude)) {
			_, ok := canonicalJSON(doc, parts)
			require.False(t, ok, "a name that a parser may take for a selected one")
			return
		}
		if exclude != "" {
			cut = excluded(cut, tokensOf(exclude))
		}
		want, err := json.Marshal(swept(cut))
		require.NoError(t, err)
		whole, ok := canonicalJSON(want, selection{})
		require.True(t, ok)
		got, ok := canonicalJSON(doc, parts)
		require.True(t, ok)
		require.Equal(t, string(whole), string(got))
	})
}

// meaningOf returns a text that is equal for documents that mean the same, and
// false for one that is not comparable.
func meaningOf(doc []byte) (string, bool) {
	if !json.Valid(doc) || !utf8.Valid(doc) || !pairedSurrogates(doc) {
		return "", false
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var out strings.Builder
	ok := meaning(d, &out, 0)
	return out.String(), ok
}

func meaning(d *json.Decoder, out *strings.Builder, depth int) bool {
	token, err := d.Token()
	if err != nil {
		return false
	}
	switch token := token.(type) {
	case json.Number:
		value, ok := exactNumber(token.String())
		fmt.Fprintf(out, "number %s;", value)
		return ok
	case json.Delim:
		if depth == maxJSONDepth {
			return false
		}
		if token == '{' {
			return membersMeaning(d, out, depth)
		}
		fmt.Fprint(out, "array[")
		for d.More() {
			if !meaning(d, out, depth+1) {
				return false
			}
		}
		fmt.Fprint(out, "]")
	default:
		fmt.Fprintf(out, "%T %q;", token, fmt.Sprint(token))
		return true
	}
	_, err = d.Token()
	return err == nil
}

func membersMeaning(d *json.Decoder, out *strings.Builder, depth int) bool {
	members := make(map[string]string)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return false
		}
		var value strings.Builder
		if !meaning(d, &value, depth+1) {
			return false
		}
		for other := range members {
			if strings.EqualFold(other, name.(string)) {
				return false
			}
		}
		members[name.(string)] = value.String()
	}
	fmt.Fprintf(out, "object%q", members) // fmt sorts maps
	_, err := d.Token()
	return err == nil
}

// exactNumber returns a number as a fraction of integers.
func exactNumber(literal string) (string, bool) {
	mantissa, exponent, hasExponent := strings.Cut(strings.ToLower(literal), "e")
	whole, fraction, hasPoint := strings.Cut(strings.TrimPrefix(mantissa, "-"), ".")
	digits := strings.Trim(whole+fraction, "0")
	if digits == "" {
		return "0", true
	}
	if !hasPoint && !hasExponent {
		n, ok := new(big.Int).SetString(literal, 10)
		return n.String(), ok
	}
	scale, err := strconv.Atoi(cmpOr(exponent, "0"))
	if len(digits) > 15 || len(literal) > maxNumber || err != nil || scale < -1000 || scale > 1000 {
		return "", false
	}
	value, ok := new(big.Rat).SetString(literal)
	nearest, _ := value.Float64()
	inRange := math.Abs(nearest) >= 0x1p-1022 && !math.IsInf(nearest, 0)
	return value.RatString(), ok && inRange
}

func cmpOr(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// pairedSurrogates examines the escapes of a valid document.
func pairedSurrogates(doc []byte) bool {
	unit := func(i int) rune {
		if i+6 > len(doc) || doc[i] != '\\' || doc[i+1] != 'u' {
			return 0
		}
		n, _ := strconv.ParseUint(string(doc[i+2:i+6]), 16, 16)
		return rune(n)
	}
	for i := 0; i < len(doc); i++ {
		if doc[i] != '\\' {
			continue
		}
		first := unit(i)
		if !utf16.IsSurrogate(first) {
			i++ // what is escaped
			continue
		}
		if utf16.DecodeRune(first, unit(i+6)) == utf8.RuneError {
			return false
		}
		i += 11
	}
	return true
}

func decode(t *testing.T, doc []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var value any
	require.NoError(t, d.Decode(&value))
	_, err := d.Token()
	require.ErrorIs(t, err, io.EOF)
	return value
}

package idemhttp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
)

// respell writes a document in another way that means the same.
func respell(t *testing.T, doc []byte, rng *rand.Rand) []byte {
	t.Helper()
	s := speller{rng: rng}
	s.write(decode(t, doc))
	return s.out.Bytes()
}

type speller struct {
	out bytes.Buffer
	rng *rand.Rand
}

func (s *speller) space() {
	s.out.WriteString([]string{"", " ", "\n\t", "\r\n  "}[s.rng.IntN(4)])
}

func (s *speller) write(value any) {
	s.space()
	defer s.space()
	switch value := value.(type) {
	case string:
		s.string(value)
	case json.Number:
		s.number(string(value))
	case []any:
		s.list("[", "]", len(value), func(i int) { s.write(value[i]) })
	case map[string]any:
		names := make([]string, 0, len(value))
		for name := range value {
			names = append(names, name)
		}
		slices.Sort(names)
		s.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		s.list("{", "}", len(names), func(i int) {
			s.space()
			s.string(names[i])
			s.space()
			s.out.WriteByte(':')
			s.write(value[names[i]])
		})
	default:
		fmt.Fprintf(&s.out, "%v", map[any]string{nil: "null", true: "true", false: "false"}[value])
	}
}

func (s *speller) list(begin, end string, n int, element func(int)) {
	s.out.WriteString(begin)
	for i := range n {
		if i > 0 {
			s.out.WriteByte(',')
		}
		element(i)
	}
	s.space()
	s.out.WriteString(end)
}

func (s *speller) string(value string) {
	s.out.WriteByte('"')
	for _, r := range value {
		if r >= ' ' && r != '"' && r != '\\' && s.rng.IntN(2) == 0 {
			s.out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&s.out, `\u%04x`, unit)
		}
	}
	s.out.WriteByte('"')
}

// number moves the point of a short integer, and leaves others.
func (s *speller) number(literal string) {
	if len(literal) > 15 || strings.ContainsAny(literal, ".eE") {
		s.out.WriteString(literal)
		return
	}
	suffixes := []string{"", ".0", "e0", "E+00", "0e-1", "00.00e-2"}
	if strings.TrimPrefix(literal, "-") == "0" {
		suffixes = suffixes[:4] // no further digit before the point
	}
	s.out.WriteString(literal + suffixes[s.rng.IntN(len(suffixes))])
}

func tokensOf(pointer string) []string {
	tokens := strings.Split(pointer, "/")[1:]
	for i, token := range tokens {
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	return tokens
}

// gone stands where an element was, so that the others keep their indices.
type gone struct{}

func isGone(value any) bool {
	_, ok := value.(gone)
	return ok
}

// keepOnly cuts all but one part off.
func keepOnly(value any, path []string) any {
	if len(path) == 0 {
		return value
	}
	return eachPart(value, func(name string, inner any) any {
		if name == path[0] {
			return keepOnly(inner, path[1:])
		}
		return gone{}
	})
}

// excluded cuts one part off.
func excluded(value any, path []string) any {
	if len(path) == 0 {
		return gone{}
	}
	return eachPart(value, func(name string, inner any) any {
		if name == path[0] {
			return excluded(inner, path[1:])
		}
		return inner
	})
}

// resembled finds a name that is a path's but for its case.
func resembled(value any, path []string) bool {
	if len(path) == 0 {
		return false
	}
	found := false
	eachPart(value, func(name string, inner any) any {
		_, isObject := value.(map[string]any)
		switch {
		case name == path[0]:
			found = found || resembled(inner, path[1:])
		case isObject && strings.EqualFold(name, path[0]):
			found = true
		}
		return inner
	})
	return found
}

// swept takes out what is gone.
func swept(value any) any {
	value = eachPart(value, func(_ string, inner any) any { return swept(inner) })
	switch value := value.(type) {
	case map[string]any:
		maps.DeleteFunc(value, func(_ string, inner any) bool { return isGone(inner) })
		return value
	case []any:
		return slices.DeleteFunc(value, func(inner any) bool { return isGone(inner) })
	}
	return value
}

func eachPart(value any, change func(name string, inner any) any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			value[name] = change(name, inner)
		}
	case []any:
		for i, inner := range value {
			value[i] = change(strconv.Itoa(i), inner)
		}
	}
	return value
}

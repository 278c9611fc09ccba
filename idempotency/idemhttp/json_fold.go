package idemhttp

import (
	"unicode"
	"unicode/utf8"
)

// foldName returns a form of a member's name that is equal for names which
// encoding/json takes for one field: it prefers the exact name, but accepts any
// that is equal under Unicode's simple case folding, and the last one wins. So
// "Amount", "AMOUNT" and "amount" are one, "s" and "ſ" are, and "k" and the
// Kelvin sign.
func foldName(name []byte) string {
	var short [32]byte // most names are no longer
	folded := short[:0]
	for i := 0; i < len(name); {
		r, size := rune(name[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(name[i:])
		}
		folded = utf8.AppendRune(folded, foldRune(r))
		i += size
	}
	return string(folded)
}

// foldRune returns the least of the runes that are equal under folding.
func foldRune(r rune) rune {
	if r < utf8.RuneSelf { // the least of a letter's forms is the ASCII capital
		if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}

// foldedNames are the names of one object.
type foldedNames map[string]struct{}

// add returns false for a name that a parser may take for an earlier one.
func (n foldedNames) add(folded string) bool {
	_, taken := n[folded]
	n[folded] = struct{}{}
	return !taken
}

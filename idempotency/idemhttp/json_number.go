package idemhttp

import (
	"bytes"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// exactDigits is how many significant decimal digits a float64 always keeps:
	// two different decimals of so many digits are different float64s, and each
	// comes back from its own as it was.
	exactDigits = 15
	// smallestNormal is the least magnitude of which that is true.
	smallestNormal = 0x1p-1022
	// maxNumber bounds the length of a literal that goes through a float64: none
	// that needs more is within its range, unless it is padded with zeros.
	maxNumber = 400
)

// canonicalNumber returns the one spelling of a JSON number's value, or false
// if it has none that is sure. Different numbers never have the same spelling.
//
// RFC 8785 spells numbers by way of float64, in which different numbers
// collapse into one. So only those that a float64 keeps exactly are spelled
// anew, as RFC 8785 says: 1.0, 1 and 10e-1 are 1, and -0 is 0. An integer with
// more digits, such as 9007199254740993, keeps its own spelling, which is
// unique. Anything else has none: a fraction of more than 15 digits, and what
// is out of range, such as 1e400 and 1e-400.
func canonicalNumber(literal []byte) (jsontext.Value, bool) {
	digits := significantDigits(literal)
	if digits == 0 { // with any exponent
		return jsontext.Value("0"), true
	}
	if digits <= exactDigits && len(literal) <= maxNumber {
		f, err := strconv.ParseFloat(string(literal), 64)
		if err == nil && math.Abs(f) >= smallestNormal {
			return jsontext.AppendFloat(nil, f, 64), true
		}
	}
	return literal, !bytes.ContainsAny(literal, ".eE")
}

// significantDigits counts the digits from the first that is not 0 to the last
// that is not.
func significantDigits(literal []byte) int {
	count, significant := 0, 0
	for _, c := range literal {
		switch {
		case c == 'e' || c == 'E':
			return significant
		case c < '0' || c > '9' || c == '0' && count == 0:
			continue
		}
		count++
		if c != '0' {
			significant = count
		}
	}
	return significant
}

package idemhttp

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"mime"
	"net/url"
	"slices"
	"strings"
)

// frames gathers length-prefixed parts, to be hashed.
type frames []byte

// framesSize is room for the parts of nearly all requests.
const framesSize = 512

// Tags that keep the forms of a part apart.
const (
	asParsed    = "parsed"
	asSent      = "sent"
	asCanonical = "canonical"
)

func (f frames) add(part string) frames { return append(f.count(len(part)), part...) }

func (f frames) addSum(sum [sha256.Size]byte) frames { return append(f.count(len(sum)), sum[:]...) }

func (f frames) addList(parts []string) frames {
	f = f.count(len(parts))
	for _, part := range parts {
		f = f.add(part)
	}
	return f
}

func (f frames) count(n int) frames { return binary.BigEndian.AppendUint64(f, uint64(n)) }

func (f frames) addQuery(raw string) frames {
	if raw == "" {
		return f.add(asParsed).count(1).add("") // the one pair that splitting makes of nothing
	}
	if _, err := url.ParseQuery(raw); err != nil {
		return f.add(asSent).add(raw)
	}
	pairs := strings.Split(raw, "&")
	slices.SortStableFunc(pairs, func(a, b string) int {
		return strings.Compare(queryName(a), queryName(b))
	})
	return f.add(asParsed).addList(pairs)
}

// queryName returns the decoded name of a pair that is known to parse.
func queryName(pair string) string {
	name, _, _ := strings.Cut(pair, "=")
	decoded, _ := url.QueryUnescape(name)
	return decoded
}

func (f frames) addMediaType(values []string) frames {
	mediaType, params, ok := parseMediaType(values)
	if !ok {
		return f.add(asSent).addList(values)
	}
	f = f.add(asParsed).add(mediaType).count(2 * len(params))
	if len(params) == 0 {
		return f
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		f = f.add(name).add(params[name])
	}
	return f
}

// isPlainMediaType reports whether parsing a media type would give back the same and
// no parameters. It is so for most requests, and parsing costs more than it looks.
func isPlainMediaType(value string) bool {
	slash := false
	for i, c := range []byte(value) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '+', c == '.':
		case c == '/' && !slash && 0 < i && i < len(value)-1:
			slash = true
		default:
			return false
		}
	}
	return slash
}

func parseMediaType(values []string) (string, map[string]string, bool) {
	if len(values) != 1 {
		return "", nil, false
	}
	if isPlainMediaType(values[0]) {
		return values[0], nil, true
	}
	mediaType, params, err := mime.ParseMediaType(values[0])
	return mediaType, params, err == nil
}

func contentCodings(values []string) []string {
	var codings []string
	for _, value := range values {
		for coding := range strings.SplitSeq(value, ",") {
			codings = append(codings, strings.ToLower(strings.Trim(coding, " \t")))
		}
	}
	return codings
}

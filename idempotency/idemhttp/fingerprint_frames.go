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
type frames struct{ buf []byte }

// framesSize is room for the parts of nearly all requests.
const framesSize = 512

// Tags that keep the forms of a part apart.
const (
	asParsed    = "parsed"
	asSent      = "sent"
	asCanonical = "canonical"
)

func (f *frames) add(part string) {
	f.addCount(len(part))
	f.buf = append(f.buf, part...)
}

func (f *frames) addSum(sum [sha256.Size]byte) {
	f.addCount(len(sum))
	f.buf = append(f.buf, sum[:]...)
}

func (f *frames) addList(parts []string) {
	f.addCount(len(parts))
	for _, part := range parts {
		f.add(part)
	}
}

func (f *frames) addCount(n int) { f.buf = binary.BigEndian.AppendUint64(f.buf, uint64(n)) }

func (f *frames) addQuery(raw string) {
	if raw == "" {
		f.add(asParsed)
		f.addCount(1) // the one pair that splitting makes of nothing
		f.add("")
		return
	}
	if _, err := url.ParseQuery(raw); err != nil {
		f.add(asSent)
		f.add(raw)
		return
	}
	pairs := strings.Split(raw, "&")
	slices.SortStableFunc(pairs, func(a, b string) int {
		return strings.Compare(queryName(a), queryName(b))
	})
	f.add(asParsed)
	f.addList(pairs)
}

// queryName returns the decoded name of a pair that is known to parse.
func queryName(pair string) string {
	name, _, _ := strings.Cut(pair, "=")
	decoded, _ := url.QueryUnescape(name)
	return decoded
}

func (f *frames) addMediaType(values []string) {
	mediaType, params, ok := parseMediaType(values)
	if !ok {
		f.add(asSent)
		f.addList(values)
		return
	}
	f.add(asParsed)
	f.add(mediaType)
	f.addCount(2 * len(params))
	if len(params) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		f.add(name)
		f.add(params[name])
	}
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

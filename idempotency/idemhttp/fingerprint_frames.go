package idemhttp

import (
	"encoding/binary"
	"hash"
	"maps"
	"mime"
	"net/url"
	"slices"
	"strings"
)

// frames feeds length-prefixed parts to a hash.
type frames struct{ hash hash.Hash }

// Tags that keep the forms of a part apart.
const (
	asParsed    = "parsed"
	asSent      = "sent"
	asCanonical = "canonical"
)

func (f frames) add(part string) {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(part)))
	f.hash.Write(length[:])
	_, _ = f.hash.Write([]byte(part)) // a hash takes everything
}

func (f frames) addList(parts []string) {
	var count [8]byte
	binary.BigEndian.PutUint64(count[:], uint64(len(parts)))
	f.hash.Write(count[:])
	for _, part := range parts {
		f.add(part)
	}
}

func (f frames) addQuery(raw string) {
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

func (f frames) addMediaType(values []string) {
	mediaType, params, ok := parseMediaType(values)
	if !ok {
		f.add(asSent)
		f.addList(values)
		return
	}
	f.add(asParsed)
	f.add(mediaType)
	list := make([]string, 0, 2*len(params))
	for _, name := range slices.Sorted(maps.Keys(params)) {
		list = append(list, name, params[name])
	}
	f.addList(list)
}

func parseMediaType(values []string) (string, map[string]string, bool) {
	if len(values) != 1 {
		return "", nil, false
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

package idemhttp

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/store"
)

// requestFingerprint names the algorithm of [fingerprintOf]. Records outlive
// deployments: whoever changes what is hashed gives it a new name and keeps the
// old one computable in [fingerprintBy].
const requestFingerprint = "http/1"

var (
	errBodyTooLarge   = errors.New("request body too large")
	errBodyUnreadable = errors.New("request body unreadable")
)

// readBody reads the whole request body once, hashing it on the way. It holds
// as much memory as the body is long, however high the limit or the announced
// length. The caller gives the bytes back to the request for the handler.
//
// Errors: errBodyTooLarge, without a read when the announced length already
// tells; errBodyUnreadable for everything else, wrapping the cause.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, [sha256.Size]byte, error) {
	if r.ContentLength > limit {
		return nil, [sha256.Size]byte{}, fmt.Errorf("%w: announced as %d bytes, the limit is %d", errBodyTooLarge, r.ContentLength, limit)
	}
	if r.Body == nil || r.Body == http.NoBody {
		return nil, sha256.Sum256(nil), nil
	}
	sum := sha256.New()
	// MaxBytesReader also tells the server not to keep a connection on which
	// the rest of an oversized body is still to come.
	body, err := io.ReadAll(io.TeeReader(http.MaxBytesReader(w, r.Body, limit), sum))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, [sha256.Size]byte{}, fmt.Errorf("%w: the limit is %d bytes", errBodyTooLarge, tooLarge.Limit)
	}
	if err != nil {
		return nil, [sha256.Size]byte{}, fmt.Errorf("%w: %w", errBodyUnreadable, err)
	}
	return body, [sha256.Size]byte(sum.Sum(nil)), nil
}

// fingerprintFunc digests a request, given the SHA-256 of its body.
type fingerprintFunc func(r *http.Request, body [sha256.Size]byte) store.Fingerprint

// fingerprintBy returns the algorithm of that name, so that a request can be
// compared with a record which another configuration made.
func fingerprintBy(algorithm string) (fingerprintFunc, bool) {
	switch algorithm {
	case requestFingerprint:
		return fingerprintOf, true
	case store.NoFingerprint:
		return noFingerprint, true
	}
	return nil, false
}

func noFingerprint(*http.Request, [sha256.Size]byte) store.Fingerprint {
	return store.Fingerprint{Algorithm: store.NoFingerprint}
}

// fingerprintOf digests what makes a request the same one again, as this
// handler sees it (a proxy or http.StripPrefix in front may have rewritten it):
//
//   - the method, and the path as URL.EscapedPath spells it;
//   - the query: its pairs as sent, stable-sorted by their decoded names. So
//     the order of different names does not matter, the order of equal names
//     does, and so does another spelling of the same value. A query that does
//     not parse counts as it was sent;
//   - the media type in lower case, its parameters sorted by name with their
//     values as sent; a Content-Type that does not parse, or comes more than
//     once, counts as it was sent. A multipart body with a new boundary is
//     therefore another request;
//   - the content codings, in lower case and in order;
//   - the exact body bytes.
//
// Every part is preceded by its length, every list by its count.
func fingerprintOf(r *http.Request, body [sha256.Size]byte) store.Fingerprint {
	f := frames{hash: sha256.New()}
	f.add(r.Method)
	f.add(r.URL.EscapedPath())
	f.addQuery(r.URL.RawQuery)
	f.addMediaType(r.Header.Values("Content-Type"))
	f.addList(contentCodings(r.Header.Values("Content-Encoding")))
	f.add(string(body[:]))
	return store.Fingerprint{Algorithm: requestFingerprint, Sum: [sha256.Size]byte(f.hash.Sum(nil))}
}

// frames feeds length-prefixed parts to a hash.
type frames struct{ hash hash.Hash }

// Tags that keep the parsed and the raw form of a part apart.
const (
	asParsed = "parsed"
	asSent   = "sent"
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

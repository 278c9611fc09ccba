package redisstore

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/reprise-go/reprise/store"
)

// place is how far a listing has come. The zero place is before the first page.
type place struct {
	masters string     // which masters there were, "" if it is not a cluster
	node    int        // the master that is scanned, by its place in their order
	scan    uint64     // SCAN's cursor on it
	found   []store.ID // by earlier SCANs, and not on any page yet
}

// cursor returns a place as text: its fields, and a checksum by which a cursor
// of another store, or one that was cut short, is recognised.
func (s *Store) cursor(at place) string {
	var found []byte
	for _, id := range at.found {
		found = append(found, id[:]...)
	}
	text := strings.Join([]string{
		at.masters,
		strconv.Itoa(at.node),
		strconv.FormatUint(at.scan, 10),
		base64.RawURLEncoding.EncodeToString(found),
	}, ".")
	return text + "." + s.seal(text)
}

func (s *Store) parsePlace(cursor string) (place, error) {
	if cursor == "" {
		return place{}, nil
	}
	parts := strings.Split(cursor, ".")
	if len(parts) != 5 || parts[4] != s.seal(strings.Join(parts[:4], ".")) {
		return place{}, errCursor()
	}
	node, err1 := strconv.Atoi(parts[1])
	scan, err2 := strconv.ParseUint(parts[2], 10, 64)
	found, err3 := base64.RawURLEncoding.DecodeString(parts[3])
	if errors.Join(err1, err2, err3) != nil || node < 0 || len(found)%len(store.ID{}) != 0 {
		return place{}, errCursor()
	}
	at := place{masters: parts[0], node: node, scan: scan}
	for ; len(found) > 0; found = found[len(store.ID{}):] {
		at.found = append(at.found, store.ID(found[:len(store.ID{})]))
	}
	return at, nil
}

func errCursor() error {
	return fmt.Errorf("%w: list: not a cursor of this store", store.ErrInvalid)
}

// seal is the checksum of a cursor's text.
func (s *Store) seal(text string) string { return digestOf(s.namespace + " " + text) }

// digestOf returns a short checksum of a text.
func digestOf(text string) string { return string(appendHex32(nil, checksum([]byte(text)))) }

package keysyntax

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"
)

// Field returns a key as a field carries it: bare, or as an RFC 9651 String if
// that is asked for or the key has characters that a bare one must not have.
// [Parse] reads it back. The key is never part of an error.
func Field(key string, quoted bool) (string, error) {
	if bare, err := Parse([]string{key}, false); err == nil && bare == key && !quoted {
		return key, nil
	}
	value, err := httpsfv.Marshal(httpsfv.NewItem(key))
	if err != nil {
		return "", errors.New("the key holds a byte that is not printable ASCII")
	}
	if _, err := Check(key); err != nil {
		return "", fmt.Errorf("the key cannot be sent: %w", err)
	}
	return value, nil
}

// Draw returns a fresh key: a UUID of version 4, a random one (RFC 9562).
func Draw() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	return uuidText(b, 4)
}

// DrawV7 returns a fresh UUID of version 7: milliseconds since 1970, then chance.
func DrawV7() string {
	var b [16]byte
	_, _ = rand.Read(b[6:])
	now := uint64(time.Now().UnixMilli())
	binary.BigEndian.PutUint16(b[:2], uint16(now>>32))
	binary.BigEndian.PutUint32(b[2:6], uint32(now))
	return uuidText(b, 7)
}

func uuidText(b [16]byte, version byte) string {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b[:])
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}

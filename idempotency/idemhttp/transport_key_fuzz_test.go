package idemhttp

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/keysyntax"
)

// What a client sends a key as is read as that key by the middleware, or it is
// not sent.
func FuzzKeyField(f *testing.F) {
	for _, key := range []string{"order-1", `a "b"`, `a\`, "a,b", " a ", "", "\n", "ü", strings.Repeat(`"`, 255), strings.Repeat("k", 256)} {
		f.Add(key, true)
		f.Add(key, false)
	}
	f.Fuzz(func(t *testing.T, key string, quoted bool) {
		value, err := keysyntax.Field(key, quoted)
		unprintable := strings.IndexFunc(key, func(r rune) bool { return r < ' ' || r > '~' })
		sendable := key != "" && len(key) <= 255 && unprintable < 0
		require.Equal(t, sendable, err == nil, err)
		if err != nil {
			return
		}
		read, err := keysyntax.Parse([]string{value}, quoted)
		require.NoError(t, err)
		require.Equal(t, key, read)
		require.NoError(t, checkKeyField(value), "SetKey puts it into the header")
	})
}

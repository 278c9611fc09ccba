package keysyntax_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/keysyntax"
)

func TestFieldIsReadBack(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"a", "a b", `a"b\c`, "a,b;c", strings.Repeat(`"`, 255)} {
		for _, quoted := range []bool{false, true} {
			field, err := keysyntax.Field(key, quoted)
			require.NoError(t, err)
			read, err := keysyntax.Parse([]string{field}, quoted)
			require.NoError(t, err)
			assert.Equal(t, key, read)
		}
	}
	for _, key := range []string{"", "a\n", "é", strings.Repeat("a", 256)} {
		_, err := keysyntax.Field(key, false)
		require.Error(t, err, "%q", key)
	}
}

func TestDrawnKeysAreUUIDsOfTheirVersion(t *testing.T) {
	t.Parallel()
	for version, draw := range map[string]func() string{
		keysyntax.Version4: keysyntax.Draw, keysyntax.Version7: keysyntax.DrawV7,
	} {
		key, err := keysyntax.UUID(draw(), version, "of its version")
		require.NoError(t, err)
		assert.NotEqual(t, key, draw())
	}
}

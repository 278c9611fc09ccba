package idemhttp

import (
	"mime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is taken for a media type without a look by package mime is one that mime
// would give back as it is.
func FuzzPlainMediaTypes(f *testing.F) {
	for _, value := range []string{"application/json", "application/problem+json", "text/plain; charset=utf-8", "Text/Plain", "a/b/c", "/", "a/", "x"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !isPlainMediaType(value) {
			return
		}
		mediaType, params, err := mime.ParseMediaType(value)
		require.NoError(t, err)
		assert.Equal(t, value, mediaType)
		assert.Empty(t, params)
	})
}

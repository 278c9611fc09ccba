package archtest_test

import (
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Who can guess an owner can end another's attempt, so owners are drawn from the
// system's random source, which ends the process rather than return less: 128 bits,
// in one place for records and one for locks.
func TestF90_OwnersComeFromTheSystemsRandomSource(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"../../store/id.go", "../../lock/id.go"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		require.NoError(t, err)
		var imported []string
		for _, spec := range parsed.Imports {
			imported = append(imported, spec.Path.Value)
		}
		assert.Contains(t, imported, `"crypto/rand"`, file)
		assert.NotContains(t, strings.Join(imported, " "), "math/rand", file)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Contains(t, string(text), "type Owner [16]byte", file)
		assert.Contains(t, string(text), "rand.Read(o[:])", file)
	}
}

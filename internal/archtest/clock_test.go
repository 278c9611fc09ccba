package archtest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wallClock are methods of [time.Time] that read its wall clock, or take the
// monotonic one from it.
func wallClock() []string {
	return []string{"Unix", "UnixMilli", "UnixMicro", "UnixNano", "AddDate", "UTC", "Local"}
}

// A clock that is set must not end a lease, or make it longer: what counts leases
// reads the monotonic clock. The exceptions are few, and here.
func TestF59_LeasesAreCountedByTheMonotonicClock(t *testing.T) {
	t.Parallel()
	allowed := []string{
		"internal/lease/clock.go newClock",  // compared with the monotonic clock, to notice a jump
		"internal/lease/watchdog.go New",    // a seed
		"idempotency/claim.go warn",         // once a minute in the log
		"idempotency/crowd_ask.go newAsker", // a seed
	}
	var found []string
	for _, dir := range []string{"internal/lease", "idempotency", "lock"} {
		files, err := filepath.Glob("../../" + dir + "/*.go")
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				found = append(found, readsOfTheWallClock(t, dir, file)...)
			}
		}
	}
	slices.Sort(found)
	slices.Sort(allowed)
	assert.Equal(t, allowed, found)
}

// readsOfTheWallClock names the functions of a file in which the wall clock of a
// time is read.
func readsOfTheWallClock(t *testing.T, dir, file string) (found []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	for _, declared := range parsed.Decls {
		function, ok := declared.(*ast.FuncDecl)
		if !ok {
			continue
		}
		ast.Inspect(function, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(wallClock(), s.Sel.Name) {
				found = append(found, dir+"/"+filepath.Base(file)+" "+function.Name.Name)
			}
			return true
		})
	}
	return found
}

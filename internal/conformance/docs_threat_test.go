package conformance_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// securityFaults are the faults that the threat model must answer by a test.
func securityFaults() []string {
	return []string{
		"F40", "F41", "F42", "F63", "F64", "F65", "F66", "F67", "F68", "F69", "F70", "F71", "F72", "F73", "F74", "F75",
		"F76", "F77", "F83", "F84", "F85", "F90", "F94", "F95",
	}
}

// What the page claims is shown by tests that are there, and each fault by one that
// has its number in its name.
func TestDocs_ThreatModelStandsOnTests(t *testing.T) {
	t.Parallel()
	page := docPages(t)["threat-model.md"]
	tests := testsOfTheModule(t)
	shown := make(map[string]bool)
	named := namedTests(page)
	require.Greater(t, len(named), 40)
	for _, name := range named {
		assert.True(t, slices.Contains(tests, name), "there is no %s", name)
		for _, fault := range regexp.MustCompile(`F\d\d`).FindAllString(name, -1) {
			shown[fault] = true
		}
	}
	for _, fault := range securityFaults() {
		assert.True(t, shown[fault], "no test on the page has %s in its name", fault)
	}
}

// testsOfTheModule returns the names of all tests of this module.
func testsOfTheModule(t *testing.T) (names []string) {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir("../..", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(source), -1) {
			names = append(names, m[1])
		}
		return err
	})
	require.NoError(t, err)
	return names
}

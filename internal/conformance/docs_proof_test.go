package conformance_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// faultCount is how many faults there are, numbered from 1.
const faultCount = 95

// waitingFaults are those that have no test, since what they happen to is not
// there yet.
func waitingFaults() []string { return []string{"F91", "F92"} }

// Each fault has one row, with tests that exist, one of them with its number in its
// name; or it is on the list of those that wait.
func TestDocs_EachFaultHasATestOfItsNumber(t *testing.T) {
	t.Parallel()
	page := docPages(t)["proof.md"]
	_, waiting, found := strings.Cut(page, "\n### Waiting\n")
	require.True(t, found)
	rows := make(map[string][]string)
	for _, m := range regexp.MustCompile(`(?m)^\| (F\d\d) \|(.*)$`).FindAllStringSubmatch(page, -1) {
		rows[m[1]] = append(rows[m[1]], m[2])
	}
	require.Len(t, rows, faultCount)
	for n := 1; n <= faultCount; n++ {
		fault := fmt.Sprintf("F%02d", n)
		require.Len(t, rows[fault], 1, "rows of %s", fault)
		named := namedTests(rows[fault][0])
		if slices.Contains(waitingFaults(), fault) {
			assert.Empty(t, named, fault)
			assert.Contains(t, waiting, "\n| "+fault+" |")
			continue
		}
		numbered := slices.ContainsFunc(named, func(name string) bool {
			return slices.Contains(regexp.MustCompile(`F\d\d`).FindAllString(name, -1), fault)
		})
		assert.True(t, numbered, "no test of %s has its number in its name", fault)
	}
}

// What the page names is there: tests, and each fuzz target of the module.
func TestDocs_TestsThatHoldThePromisesExist(t *testing.T) {
	t.Parallel()
	page := docPages(t)["proof.md"]
	tests, named := testsOfTheModule(t), namedTests(page)
	require.Greater(t, len(named), 200)
	for _, name := range named {
		assert.True(t, slices.Contains(tests, name), "there is no %s", name)
	}
	for _, name := range tests {
		if strings.HasPrefix(name, "Fuzz") {
			assert.True(t, slices.Contains(named, name), "%s is not on the page", name)
		}
	}
}

// namedTests returns the tests that a text names.
func namedTests(text string) (names []string) {
	for _, m := range regexp.MustCompile("`((?:Test|Fuzz)[A-Z0-9]\\w*)`").FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

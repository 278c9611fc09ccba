package redisstore_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store/redisstore"
)

func source(t *testing.T, name string) string {
	t.Helper()
	text, err := redisstore.Sources.ReadFile("lua/" + name + ".lua")
	require.NoError(t, err)
	return string(text)
}

func TestEveryScriptSaysWhatItTakesAndWhyItCanRunAgain(t *testing.T) {
	t.Parallel()
	for _, name := range append([]string{"lookup", "probe", "epoch"}, redisstore.ScriptNames...) {
		head, _, _ := strings.Cut(source(t, name), "\nlocal ")
		for _, word := range []string{"-- " + name, "-- KEYS", "-- Returns", "-- Idempotent"} {
			assert.Contains(t, head, word, name)
		}
	}
}

// F84: what a script does depends on its text and on data, never on text that
// is put together; and F19: every key that it touches came through KEYS.
func TestScriptsTouchOnlyWhatKEYSNames(t *testing.T) {
	t.Parallel()
	call := regexp.MustCompile(`redis\.p?call\('([A-Z]+)'(?:, ([^,)]+))?`)
	keys := map[string]bool{"key": true, "temp": true, "KEYS[1]": true}
	for _, name := range redisstore.ScriptNames {
		text := source(t, "clock") + source(t, "record") + source(t, name)
		calls := call.FindAllStringSubmatch(text, -1)
		require.Len(t, calls, strings.Count(text, "redis.call(")+strings.Count(text, "redis.pcall("),
			"%s: a command's name is not a constant", name)
		for _, c := range calls {
			assert.True(t, c[1] == "TIME" || keys[c[2]], "%s: %s", name, c[0])
		}
		for _, unportable := range []string{"loadstring", "cjson", "cmsgpack", "struct.", "bit.", "os."} {
			assert.NotContains(t, text, unportable, name)
		}
	}
}

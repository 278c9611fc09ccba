package archtest_test

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/archtest"
)

func TestF84_NoDataBecomesPartOfAScript(t *testing.T) {
	t.Parallel()
	found, err := archtest.Scripts(os.DirFS("../.."))
	require.NoError(t, err)
	forTests := func(finding string) bool { return strings.HasPrefix(finding, "internal/redistest/") }
	assert.Empty(t, slices.DeleteFunc(found, forTests))
}

// The store's own file, spoiled, is found among the rest of the module.
func TestF84_TheStoresScriptsAreAmongThoseLookedAt(t *testing.T) {
	t.Parallel()
	const name = "store/redisstore/script.go"
	text, err := os.ReadFile("../../" + name)
	require.NoError(t, err)
	spoiled := strings.Replace(string(text), `source("clock") + `, `os.Getenv(name) + `, 1)
	require.NotEqual(t, string(text), spoiled)
	found, err := archtest.Scripts(fstest.MapFS{"go.mod": {Data: []byte("module m\n")}, name: {Data: []byte(spoiled)}})
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Contains(t, found[0], name)
}

// Each text is a package of a module; what it must be blamed for is "" for those
// that are in order.
func TestF84_EachWayIntoAScriptIsFound(t *testing.T) {
	t.Parallel()
	const (
		notFixed  = "a script's text is not made of constants alone"
		notScript = "not known to be a *redis.Script"
	)
	tests := []struct{ name, code, want string }{
		{"a literal", `var s = redis.NewScript("return 1")`, ""},
		{"constants", "const a, b = `return `, `1`\nvar s = redis.NewScript(a + (b))", ""},
		{"an embedded file", "//go:embed x.lua\nvar text string\nfunc f() { redis.NewScript(text) }", ""},
		{"embedded files in functions", `
			//go:embed lua/*.lua
			var files embed.FS
			func read(name string) string { text, _ := files.ReadFile(path.Join("lua", name+".lua")); return string(text) }
			func script(name string) *redis.Script { return redis.NewScript(read("common") + read(name)) }
			func all() { script("claim"); script("renew") }`, ""},
		{"an included file", `
			//go:embed lua/*.lua
			var files embed.FS
			func script(name string) *redis.Script {
				common, _ := files.ReadFile("lua/common.lua")
				text, _ := files.ReadFile("lua/" + name + ".lua")
				return redis.NewScript(strings.Replace(string(text), "-- include", string(common), 1))
			}
			var s = script("claim")`, ""},
		{"text that grows", `func f() { text := "a"; text = text + "b"; redis.NewScript(text) }`, ""},
		{"a script's own methods", `
			type t struct{ s *redis.Script }
			func (x t) f(c redis.Scripter, sc *redis.Script) { sc.Eval(nil, c, nil); run(x.s.EvalSha) }`, ""},
		{"a constant command", `func f(c *redis.Client) { c.Do(nil, "wait", "1", "100") }`, ""},

		{"a parameter", `func F(text string) { redis.NewScript(text) }`, notFixed},
		{"a method's parameter", `func (x t) f(text string) { redis.NewScript(text) }`, notFixed},
		{"data appended", `func F(key string) { redis.NewScript("return '" + key + "'") }`, notFixed},
		{"data formatted", `func F(key string) { redis.NewScript(fmt.Sprintf("return %q", key)) }`, notFixed},
		{"data through a variable", `func F(key string) { text := "return "; text += key; redis.NewScript(text) }`, notFixed},
		{"data through a loop", `func F(keys []string) { text := ""; for _, k := range keys { text += k }; redis.NewScript(text) }`, notFixed},
		{"data through itself", `func F(key string) { text := "a"; text = text + "b"; text = key; redis.NewScript(text) }`, notFixed},
		{"data through an address", `func F() { text := "return 1"; change(&text); redis.NewScript(text) }`, notFixed},
		{"data through a function", `
			func F(key string) { script(key) }
			func script(name string) *redis.Script { return redis.NewScript("return " + name) }`, notFixed},
		{"data through two functions", `
			func F(key string) { outer(key) }
			func outer(name string) { inner(name) }
			func inner(name string) { redis.NewScript(name) }`, notFixed},
		{"a function handed on", `
			func inner(name string) { redis.NewScript(name) }
			var f = inner`, notFixed},
		{"a function that reads data", `
			func text() string { return os.Getenv("LUA") }
			var s = redis.NewScript(text())`, notFixed},
		{"a variable", "var text = `return 1`\nvar s = redis.NewScript(text)", notFixed},
		{"a field", `func (x t) f() { redis.NewScript(x.text) }`, notFixed},
		{"a file that is not embedded", `func f() { text, _ := os.ReadFile("x.lua"); redis.NewScript(string(text)) }`, notFixed},
		{"a script under another name", `func F(k string) { redis.NewScriptServerSHA(k) }`, notFixed},
		{"a text sent", `func f(c *redis.Client) { c.Eval(nil, "return 1", nil) }`, notScript},
		{"a text loaded", `func f(c *redis.Client) { c.ScriptLoad(nil, "return 1") }`, notScript},
		{"a library loaded", `func f(c *redis.Client) { c.FunctionLoad(nil, "…") }`, notScript},
		{"a sender handed on", `func f(c *redis.Client) { run(c.EvalSha) }`, notScript},
		{"a text sent by name", `func f(c *redis.Client) { c.Do(nil, "EVAL", "return 1", 0) }`, "by the command's name"},
		{"a command made by name", `func f(p redis.Pipeliner) { p.Process(nil, redis.NewCmd(nil, "eval", "return 1", 0)) }`, "by the command's name"},
		{"any command", `func F(c *redis.Client, words ...any) { c.Do(nil, words...) }`, "name is not a constant"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			found, err := archtest.Scripts(module(tt.code))
			require.NoError(t, err)
			if tt.want == "" {
				require.Empty(t, found)
				return
			}
			require.Len(t, found, 1)
			assert.Regexp(t, `^p/p\.go:\d+: `, found[0])
			assert.Contains(t, found[0], tt.want)
		})
	}
}

func module(code string) fs.FS {
	const head = "package p\n\nimport \"github.com/redis/go-redis/v9\"\n\n"
	return fstest.MapFS{
		"go.mod":      {Data: []byte("module m\n")},
		"p/p.go":      {Data: []byte(head + code)},
		"p/p_test.go": {Data: []byte(head + `func G(text string) { redis.NewScript(text) }`)},
		"q/q.go":      {Data: []byte("package q\n\nfunc f(text string) { other.NewScript(text); c.Eval(text) }")},
	}
}

// The texts themselves run nothing but what stands in them. A command whose name is
// no literal is one of a function's, all of whose callers name it by one.
func TestF84_NoScriptRunsWhatItIsSent(t *testing.T) {
	t.Parallel()
	command := regexp.MustCompile(`(?:redis\.p?call|\bp?call|attempt)\(([^,)]*)`)
	forbidden := regexp.MustCompile(`\b(load|loadstring|loadfile|dofile|require|setfenv|getfenv|_G|debug|cjson|cmsgpack|struct|bit|os)\b[.(\[]`)
	texts := 0
	err := fs.WalkDir(os.DirFS("../.."), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".lua") {
			return err
		}
		texts++
		raw, err := os.ReadFile("../../" + name)
		code := regexp.MustCompile(`--.*`).ReplaceAllString(string(raw), "")
		assert.Empty(t, forbidden.FindAllString(code, -1), name)
		for _, m := range command.FindAllStringSubmatch(code, -1) {
			assert.Regexp(t, `^('[A-Z]+'|command|save)$`, m[1], "%s: %s", name, m[0])
		}
		return err
	})
	require.NoError(t, err)
	assert.GreaterOrEqual(t, texts, 16, "a walk that finds none shows nothing")
}

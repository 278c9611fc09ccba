package conformance_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

const (
	docsDir = "../../idempotency/docs"
	readme  = "../../README.md"
)

func docPages(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(docsDir, "*.md"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	pages := make(map[string]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		pages[filepath.Base(file)] = string(text)
	}
	return pages
}

// fencedBlocks returns the fenced blocks of a language.
func fencedBlocks(page, language string) []string {
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		found = append(found, m[1])
	}
	return found
}

// tableRows returns the cells of the table rows that begin with a word in code.
func tableRows(page string) map[string][]string {
	found := make(map[string][]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Za-z_]+)` \\|(.*)\\|$").FindAllStringSubmatch(page, -1) {
		cells := strings.Split(m[2], " | ")
		for i, cell := range cells {
			cells[i] = strings.TrimSpace(cell)
		}
		found[m[1]] = cells
	}
	return found
}

func TestDocs_TableOfCodesIsWhatClientsGet(t *testing.T) {
	t.Parallel()
	page := docPages(t)["errors.md"]
	table := tableRows(page)
	codes := regexp.MustCompile(`(?m)^## ([a-z_]+)$`).FindAllStringSubmatch(page, -1)
	require.NotEmpty(t, codes) // that none is missing is tested in idemhttp
	word := map[any]string{true: "yes", false: "no", nil: "–"}
	for _, m := range codes {
		code := m[1]
		w := httptest.NewRecorder()
		idemhttp.WriteError(w, &idempotency.Error{Code: idempotency.Code(code)})
		var problem map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &problem))
		told := "–"
		if w.Header().Get("Retry-After") != "" {
			told = "yes"
		}
		assert.Equal(t, []string{
			strconv.Itoa(w.Code), word[problem["retryable"]], word[problem["safe_new_key"]], told,
			"`" + w.Header().Get("Idempotency-Status") + "`",
		}, table[code], code)
	}
}

// Every code is shown as it comes: by a transcript, or, where the service cannot
// be made to say it, by a block of its section that is what a middleware writes.
func TestDocs_EveryCodeHasAnExample(t *testing.T) {
	t.Parallel()
	page := docPages(t)["errors.md"]
	transcripts := strings.Join(fencedBlocks(page, "console"), "")
	sections := regexp.MustCompile(`(?m)^## ([a-z_]+)$`).FindAllStringSubmatchIndex(page, -1)
	require.NotEmpty(t, sections)
	for i, at := range sections {
		code, end := page[at[2]:at[3]], len(page)
		if i+1 < len(sections) {
			end = sections[i+1][0]
		}
		shown := fencedBlocks(page[at[1]:end], "http")
		if len(shown) == 0 {
			assert.Contains(t, transcripts, `"code":"`+code+`"`, "an example of %s", code)
			continue
		}
		assert.Equal(t, writtenProblem(idempotency.Code(code)), strings.TrimSpace(shown[0]), code)
	}
}

// writtenProblem is a refusal as curl -i shows it, without the date and the
// length.
func writtenProblem(code idempotency.Code) string {
	w := httptest.NewRecorder()
	idemhttp.WriteError(w, &idempotency.Error{Code: code})
	lines := []string{fmt.Sprintf("HTTP/1.1 %d %s", w.Code, http.StatusText(w.Code))}
	for _, name := range slices.Sorted(maps.Keys(w.Header())) {
		lines = append(lines, name+": "+w.Header().Get(name))
	}
	return strings.Join(lines, "\n") + "\n\n" + strings.TrimSpace(w.Body.String())
}

// The counts that the page shows are what ExampleGuard_Stats prints.
func TestDocs_StatsAreThoseOfTheExample(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../../idempotency/example_stats_test.go")
	require.NoError(t, err)
	_, output, found := strings.Cut(string(source), "// Output:\n")
	require.True(t, found)
	var printed strings.Builder
	for line := range strings.Lines(output) {
		if text, ok := strings.CutPrefix(strings.TrimPrefix(line, "\t"), "// "); ok {
			printed.WriteString(text)
		}
	}
	require.NotEmpty(t, printed.String())
	assert.Contains(t, fencedBlocks(docPages(t)["operating.md"], "json"), printed.String())
}

// Every field of a policy has its row, and the rows' defaults, which are Go, are
// the defaults.
func TestDocs_TableOfPolicyFieldsHasTheDefaults(t *testing.T) {
	t.Parallel()
	table := tableRows(docPages(t)["policy.md"])
	var program strings.Builder
	program.WriteString("package main\n\nimport (\n\"os\"\n\"reflect\"\n\"time\"\n\n. \"github.com/reprise-go/reprise/idempotency\"\n)\n\n" +
		"var _ = time.Hour\n\nfunc main() {\n\twant := DefaultPolicy()\n\tgot := DefaultPolicy()\n")
	for field := range reflect.TypeFor[idempotency.Policy]().Fields() {
		row := table[field.Name]
		require.Len(t, row, 3, "words, default and meaning of %s", field.Name)
		value := strings.Trim(row[1], "`")
		fmt.Fprintf(&program, "\tgot.%s = %s\n", field.Name, value)
	}
	program.WriteString("\tif !reflect.DeepEqual(want, got) {\n\t\tos.Stderr.WriteString(\"the defaults are others\\n\")\n\t\tos.Exit(1)\n\t}\n}\n")
	runProgram(t, program.String())
}

func TestDocs_GoCodeCompilesAndPoliciesAreAccepted(t *testing.T) {
	t.Parallel()
	pages := docPages(t)
	delete(pages, "clients.md") // internal/proof/clients
	text, err := os.ReadFile(readme)
	require.NoError(t, err)
	for _, title := range []string{"Waiting, settling, clients", "gRPC", "Annotations"} {
		_, section, found := strings.Cut(string(text), "\n## "+title+"\n")
		require.True(t, found, title)
		section, _, _ = strings.Cut(section, "\n## ")
		pages["README.md"] += section
	}
	for _, name := range []string{"README.md", "policy.md", "operating.md"} {
		require.NotEmpty(t, fencedBlocks(pages[name], "go"), name)
	}
	var all []string
	for _, page := range pages {
		all = append(all, fencedBlocks(page, "go")...)
	}
	runProgram(t, programOf(t, all))
}

// programOf puts the blocks of pages into functions and those that protect something
// into main, each with a guard of its own.
func programOf(t *testing.T, all []string) string {
	t.Helper()
	frame, err := os.ReadFile("testdata/docs_frame.txt")
	require.NoError(t, err)
	var functions, calls strings.Builder
	for i, block := range all {
		if regexp.MustCompile(`\A(//.*\n)*(func|type) `).MatchString(block) {
			functions.WriteString(block + "\n")
			continue
		}
		fmt.Fprintf(&functions, "func block%d() (err error) {\n%s\nreturn err\n}\n\n", i, block)
		if regexp.MustCompile(`idemhttp\.New\(|mw\.(Handle|Protect|ProtectByPath|Mount|Wrap)\(|idempotency\.(Wrap|Weave|Do)\(`).MatchString(block) {
			fmt.Fprintf(&calls, "\tcheck(%q, block%d)\n", block, i)
		} else {
			fmt.Fprintf(&calls, "\t_ = block%d\n", i)
		}
	}
	return strings.NewReplacer("// functions", functions.String(), "// calls", calls.String()).Replace(string(frame))
}

// runProgram runs a program of the module; it prints nothing if all is well.
func runProgram(t *testing.T, source string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
	said, err := exec.CommandContext(t.Context(), "go", "run", file).CombinedOutput()
	require.NoError(t, err, "%s\n%s", said, source)
}

// anchors returns what the headings of a page can be linked by, as GitHub makes
// it of them.
func anchors(page string) []string {
	var found []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(page, -1) {
		text := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		found = append(found, strings.ReplaceAll(text, " ", "-"))
	}
	return found
}

func TestDocs_LinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(docsDir, "*.md"))
	require.NoError(t, err)
	for _, file := range append(files, readme, "../../CHANGELOG.md", "../../SECURITY.md") {
		page, err := os.ReadFile(file)
		require.NoError(t, err)
		prose := regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(string(page), "")
		for _, m := range regexp.MustCompile(`\]\(([^):\s]+)\)`).FindAllStringSubmatch(prose, -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			target := file
			if path != "" {
				target = filepath.Join(filepath.Dir(file), path)
			}
			text, err := os.ReadFile(target)
			if assert.NoError(t, err, "%s links to %s", file, m[1]) && anchor != "" {
				assert.Contains(t, anchors(string(text)), anchor, "%s links to %s", file, m[1])
			}
		}
	}
}

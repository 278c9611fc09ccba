package conformance_test

import (
	"context"
	"encoding/json"
	"fmt"
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
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/internal/paytest"
)

const (
	docsDir = "../../idempotency/docs"
	readme  = "../../README.md"
)

// noTranscript are the pages that need no checked transcript, because their code
// is checked elsewhere.
func noTranscript() []string { return []string{"clients.md"} }

// The addresses and the server that transcripts name.
const (
	shownHTTP  = "127.0.0.1:8080"
	shownAdmin = "127.0.0.1:8090"
	shownRedis = "redis://127.0.0.1:6379/0"
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

// transcript is a session with the reference service, as a page shows it.
type transcript struct {
	flags []string
	ready string
	steps []shown
}

// shown is one command and what it printed.
type shown struct{ command, output string }

// readTranscript takes a block apart: a line that begins with "$ " is a command,
// which goes on in the indented lines that follow.
func readTranscript(t *testing.T, block string) transcript {
	t.Helper()
	var steps []shown
	for line := range strings.Lines(block) {
		if command, isCommand := strings.CutPrefix(line, "$ "); isCommand {
			steps = append(steps, shown{command: command})
			continue
		}
		require.NotEmpty(t, steps, "a transcript begins with a command: %s", line)
		last := &steps[len(steps)-1]
		if last.output == "" && strings.HasPrefix(line, "    ") {
			last.command += line
			continue
		}
		last.output += line
	}
	require.NotEmpty(t, steps)
	start, _, _ := strings.Cut(steps[0].command, "#")
	flags, isStart := strings.CutPrefix(start, "go run ./examples/payments")
	require.True(t, isStart, "a transcript begins by starting the service, or nobody can run it: %s", start)
	return transcript{flags: strings.Fields(flags), ready: strings.TrimSpace(steps[0].output), steps: steps[1:]}
}

// start runs the service with the flags that are shown, and returns what puts the
// real addresses in place of the shown ones, and back.
func (d transcript) start(t *testing.T) (forth, back *strings.Replacer) {
	t.Helper()
	flags, store := slices.Clone(d.flags), "embedded"
	for i, word := range flags {
		switch word {
		case shownAdmin:
			flags[i] = "127.0.0.1:0"
		case shownRedis:
			flags[i], store = shared.Server(t).URL(), "redis"
			flags = append(flags, "-namespace", namespaceOf(t))
		}
	}
	assert.Equal(t, "READY http="+shownHTTP+" grpc=off store="+store, d.ready)
	p := payments.Start(t, flags...)
	pairs := []string{shownHTTP, p.Addr()}
	if slices.Contains(d.flags, shownAdmin) {
		pairs = append(pairs, shownAdmin, adminOf(t, p))
	}
	reverse := slices.Clone(pairs)
	slices.Reverse(reverse)
	return strings.NewReplacer(pairs...), strings.NewReplacer(reverse...)
}

func adminOf(t *testing.T, p *paytest.Process) string {
	t.Helper()
	said := regexp.MustCompile(`operator's page at http://([\d.:]+)/`).FindStringSubmatch(p.Log())
	require.NotNil(t, said, p.Log())
	return said[1]
}

// between separates the outputs of a session's commands.
const between = "\x1e"

// run types the commands into one bash and returns what each printed.
func (d transcript) run(t *testing.T) []string {
	t.Helper()
	addresses, back := d.start(t)
	var session strings.Builder
	for _, s := range d.steps {
		session.WriteString("printf '" + between + "'\n" + addresses.Replace(s.command))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", session.String())
	var complaints strings.Builder // curl's progress, too
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	require.NoError(t, err, complaints.String())
	return strings.Split(back.Replace(string(out)), between)[1:]
}

// maskShown replaces what is drawn anew for every session, and what curl -i
// shows of every answer.
func maskShown(s string) string {
	for _, m := range [...]struct{ pattern, name string }{
		{`\r`, ""},
		{`(?m)^(Date|Content-Length): .*\n`, ""},
		{`pay_[A-Z2-7]{26}`, "pay_…"},
		{`[0-9a-f]{64}`, "digest"},
		{`"[0-9a-f]{16}"`, `"…"`},
		{`"instance":"[^"]*"`, `"instance":"…"`},
		{`(?m)^Retry-After: \d+`, "Retry-After: n"},
		{`\d{4}-\d\d-\d\dT[\d:.]+Z`, "time"},
		{`\b\d{16}\b`, "token"},
	} {
		s = regexp.MustCompile(m.pattern).ReplaceAllString(s, m.name)
	}
	return strings.TrimSpace(s)
}

func needCurl(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err == nil {
		return
	}
	const message = "NOT TESTED: no curl on the PATH; install the Debian package curl (or run make test)"
	if os.Getenv("REPRISE_REQUIRE_SERVERS") == "1" {
		t.Fatal(message + "; REPRISE_REQUIRE_SERVERS=1 makes that a failure")
	}
	t.Skip(message)
}

func TestDocs_TranscriptsAreWhatTheServiceAnswers(t *testing.T) {
	t.Parallel()
	needCurl(t)
	for name, page := range docPages(t) {
		found := fencedBlocks(page, "console")
		if !slices.Contains(noTranscript(), name) {
			assert.NotEmpty(t, found, "%s shows nothing that is checked", name)
		}
		for i, block := range found {
			t.Run(fmt.Sprintf("%s %d", name, i+1), func(t *testing.T) {
				t.Parallel()
				d := readTranscript(t, block)
				require.NotEmpty(t, d.steps)
				got := d.run(t)
				require.Len(t, got, len(d.steps))
				for i, s := range d.steps {
					assert.Equal(t, maskShown(s.output), maskShown(got[i]), "%s, which printed:\n%s", s.command, got[i])
				}
			})
		}
	}
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
	_, section, _ := strings.Cut(string(text), "\n## Waiting, settling, clients\n")
	section, _, _ = strings.Cut(section, "\n## ")
	pages["README.md"] = section
	for _, name := range []string{"README.md", "policy.md", "operating.md"} {
		require.NotEmpty(t, fencedBlocks(pages[name], "go"), name)
	}
	var all []string
	for _, page := range pages {
		all = append(all, fencedBlocks(page, "go")...)
	}
	runProgram(t, programOf(t, all))
}

// programOf puts the blocks of pages into functions and those with routes of
// them into main, each with a guard of its own.
func programOf(t *testing.T, all []string) string {
	t.Helper()
	frame, err := os.ReadFile("testdata/docs_frame.txt")
	require.NoError(t, err)
	var functions, calls strings.Builder
	for i, block := range all {
		if strings.HasPrefix(block, "func ") || strings.HasPrefix(block, "type ") {
			functions.WriteString(block + "\n")
			continue
		}
		fmt.Fprintf(&functions, "func block%d() (err error) {\n%s\nreturn err\n}\n\n", i, block)
		if strings.Contains(block, "mw.Handle(") || strings.Contains(block, "mw.Protect(") {
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
	for _, file := range append(files, readme, "../../CHANGELOG.md") {
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

package model_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// ok is the verdict of a search that was complete and found nothing.
const ok = "ok"

// search is one run of Spin over one model.
type search struct {
	file  string   // the model
	flags []string // of the model's preprocessor
	// compile are the verifier's own switches: -DSAFETY, or -DNP for cycles; -DBFS
	// for the shortest trail.
	compile []string
}

// found is what came of a search.
type found struct {
	dir     string
	verdict string // ok, or what was violated
	states  int
	output  string
}

// programs returns where Spin and the C compiler are, or ends the test.
func programs(t testing.TB) (spin, gcc string) {
	t.Helper()
	return find(t, "spin", "spin"), find(t, "gcc", "gcc")
}

func find(t testing.TB, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	message := "NOT TESTED: no " + name + "; install the Debian package " + debian + " (or run make test)"
	if os.Getenv("REPRISE_REQUIRE_SERVERS") == "1" {
		t.Fatalf("%s; REPRISE_REQUIRE_SERVERS=1 makes that a failure", message)
	}
	t.Skip(message)
	return ""
}

// run searches all of a model, or until the first violation.
func (s search) run(t *testing.T) found {
	t.Helper()
	spin, gcc := programs(t)
	dir := t.TempDir()
	files, err := filepath.Glob("*.pml")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), text, 0o600))
	}
	execute(t, dir, spin, append(append([]string{"-a"}, s.flags...), s.file)...)
	// A search that would take more memory than this ends, and says so.
	execute(t, dir, gcc, append([]string{"-w", "-DNOFAIR", "-DMEMLIM=1500", "-o", "pan", "pan.c"}, s.compile...)...)
	arguments := []string{"-m100000", "-w21"} // depth, and a small table to begin with
	if strings.Contains(strings.Join(s.compile, " "), "-DNP") {
		arguments = append(arguments, "-l")
	}
	output := execute(t, dir, filepath.Join(dir, "pan"), arguments...)
	verdict, states := judge(withoutSteps(output))
	return found{dir: dir, verdict: verdict, states: states, output: output}
}

// execute returns what a program prints. The status of a verifier that found
// something differs between versions of Spin: its words count.
func execute(t *testing.T, dir, program string, arguments ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, arguments...)
	cmd.Dir = dir
	output, err := cmd.CombinedOutput()
	var status *exec.ExitError
	if filepath.Base(program) != "pan" || !errors.As(err, &status) {
		require.NoError(t, err, "%s %v\n%s", program, arguments, output)
	}
	return string(output)
}

// withoutSteps leaves out what transitions.pml prints, of which there are megabytes.
func withoutSteps(output string) string {
	var rest strings.Builder
	for line := range strings.Lines(output) {
		if !strings.HasPrefix(line, "step ") {
			rest.WriteString(line)
		}
	}
	return rest.String()
}

var (
	violated   = regexp.MustCompile(`(?m)^pan:\d+: (?:assertion violated )?(.+?) \(at depth \d+\)`)
	stored     = regexp.MustCompile(`(\d+) states, stored`)
	incomplete = regexp.MustCompile(`(?m)^.*(?:max search depth too small|Search not completed|out of memory|MEMLIM|errors: [1-9]).*$`)
)

// judge reads a verifier's output. Whatever is neither a violation nor a complete
// search is its own verdict.
func judge(output string) (verdict string, states int) {
	if m := stored.FindStringSubmatch(output); m != nil {
		states, _ = strconv.Atoi(m[1])
	}
	if m := violated.FindStringSubmatch(output); m != nil {
		return strings.TrimSpace(m[1]), states
	}
	if m := incomplete.FindString(output); m != "" {
		return "incomplete: " + m, states
	}
	if !strings.Contains(output, "errors: 0") || states == 0 {
		return "unreadable: " + output, states
	}
	return ok, states
}

// story returns what happened on the way to a violation, line by line. Requests 1
// and 2 are alike: the first to be named is 1.
func (s search) story(t *testing.T, f found) string {
	t.Helper()
	spin, _ := programs(t)
	told := execute(t, f.dir, spin, append(append([]string{"-t"}, s.flags...), s.file)...)
	var lines []string
	for line := range strings.Lines(told) {
		if m := happened.FindString(line); m != "" {
			lines = append(lines, m)
		}
	}
	story := strings.Join(lines, "\n")
	if m := named.FindStringSubmatch(story); m == nil || m[2] == "1" {
		return story
	}
	other := map[string]string{"1": "2", "2": "1"}
	return named.ReplaceAllStringFunc(story, func(name string) string {
		return name[:len(name)-1] + other[name[len(name)-1:]]
	})
}

var (
	happened = regexp.MustCompile(`(?:request \d:|the store|the operator settles|the quarantine|time passes).*`)
	named    = regexp.MustCompile(`(request|of|owner|is|answer) ([12])\b`)
)

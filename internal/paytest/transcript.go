package paytest

import (
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Transcript is a session with the service, as a page shows it: how it is
// started, what it says, and commands with what they print.
type Transcript struct {
	Flags []string
	Ready string
	Steps []Step
}

// Step is one command and what it printed.
type Step struct{ Command, Output string }

// startShown is how a transcript begins.
const startShown = "go run ./examples/payments"

// ReadTranscript takes a block of a page apart: a line that begins with "$ " is a
// command, which goes on in the indented lines that follow.
func ReadTranscript(t testing.TB, block string) Transcript {
	t.Helper()
	var steps []Step
	for line := range strings.Lines(block) {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case isCommand:
			steps = append(steps, Step{Command: command})
		case len(steps) == 0:
			t.Fatalf("paytest: a transcript begins with a command: %s", line)
		case steps[len(steps)-1].Output == "" && strings.HasPrefix(line, "    "):
			steps[len(steps)-1].Command += line
		default:
			steps[len(steps)-1].Output += line
		}
	}
	if len(steps) < 2 || !strings.HasPrefix(steps[0].Command, startShown) {
		t.Fatalf("paytest: a transcript begins by starting the service, or nobody can run it: %s", block)
	}
	start, _, _ := strings.Cut(steps[0].Command, "#")
	return Transcript{
		Flags: strings.Fields(strings.TrimPrefix(start, startShown)),
		Ready: strings.TrimSpace(steps[0].Output),
		Steps: steps[1:],
	}
}

// between separates the outputs of a session's commands.
const between = "\x1e"

// Run types the commands into one bash, which has the variables of environment,
// and returns what each printed. addresses are pairs: what the page shows, and
// what there is in its place; they are put back in what is printed. typed are
// pairs that are not put back.
func (d Transcript) Run(t testing.TB, environment, addresses, typed []string) []string {
	t.Helper()
	back := make([]string, 0, len(addresses))
	for i := 0; i < len(addresses); i += 2 {
		back = append(back, addresses[i+1], addresses[i])
	}
	forth := strings.NewReplacer(append(append([]string{}, addresses...), typed...)...)
	var session strings.Builder
	for _, s := range d.Steps {
		session.WriteString("printf '" + between + "'\n" + forth.Replace(s.Command))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", session.String())
	cmd.Dir, cmd.Env = t.TempDir(), environment
	var complaints strings.Builder // curl's progress, too
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("paytest: the transcript's session: %v: %s", err, complaints.String())
	}
	return strings.Split(strings.NewReplacer(back...).Replace(string(out)), between)[1:]
}

// MaskTranscript replaces what is drawn anew for every session, and what curl -i
// shows of every answer.
func MaskTranscript(s string) string {
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
		{`": +`, `": `}, // protojson draws the spaces, once for each build
	} {
		s = regexp.MustCompile(m.pattern).ReplaceAllString(s, m.name)
	}
	return strings.TrimSpace(s)
}

// ConsoleBlocks returns the transcripts of a page.
func ConsoleBlocks(page string) []string {
	blocks := regexp.MustCompile("(?ms)^```console\n(.*?)^```$").FindAllStringSubmatch(page, -1)
	found := make([]string, len(blocks))
	for i, block := range blocks {
		found[i] = block[1]
	}
	return found
}

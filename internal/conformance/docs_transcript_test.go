package conformance_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/paytest"
)

// The addresses, the server and the process that transcripts name.
const (
	shownHTTP  = "127.0.0.1:8080"
	shownAdmin = "127.0.0.1:8090"
	shownRedis = "redis://127.0.0.1:6379/0"
	shownPID   = "$(pgrep -x payments)"
)

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

// start runs the service with the flags that are shown, and returns it with what
// puts the real addresses in place of the shown ones, and back.
func (d transcript) start(t *testing.T) (p *paytest.Process, forth, back *strings.Replacer) {
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
	p = payments.Start(t, flags...)
	pairs := []string{shownHTTP, p.Addr()}
	if slices.Contains(d.flags, shownAdmin) {
		pairs = append(pairs, shownAdmin, adminOf(t, p))
	}
	reverse := slices.Clone(pairs)
	slices.Reverse(reverse)
	// Not back: a number in an answer may look like it.
	pairs = append(pairs, shownPID, strconv.Itoa(p.PID()))
	return p, strings.NewReplacer(pairs...), strings.NewReplacer(reverse...)
}

func adminOf(t *testing.T, p *paytest.Process) string {
	t.Helper()
	said := regexp.MustCompile(`operator's page at http://([\d.:]+)/`).FindStringSubmatch(p.Log())
	require.NotNil(t, said, p.Log())
	return said[1]
}

// between separates the outputs of a session's commands.
const between = "\x1e"

// run types the commands into one bash and returns what each printed. A service
// that they end must end well.
func (d transcript) run(t *testing.T) []string {
	t.Helper()
	p, forth, back := d.start(t)
	var session strings.Builder
	ends := false
	for _, s := range d.steps {
		session.WriteString("printf '" + between + "'\n" + forth.Replace(s.command))
		ends = ends || strings.Contains(s.command, "kill "+shownPID)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", session.String())
	cmd.Dir = t.TempDir()
	var complaints strings.Builder // curl's progress, too
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	require.NoError(t, err, complaints.String())
	if ends {
		assert.Equal(t, 0, p.Wait(t), "the exit status")
	}
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
		assert.NotEmpty(t, found, "%s shows nothing that is checked", name)
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

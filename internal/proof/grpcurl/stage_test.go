package grpcurl_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/paytest"
)

// readmeAddress is where the example listens unless told otherwise, as the
// commands have it.
const readmeAddress = "localhost:9090"

// toolPath returns the file of grpcurl, which the go command builds once and
// keeps in its cache.
var toolPath = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "tool", "-n", "grpcurl").Output()
	return strings.TrimSpace(string(out)), err
})

// shell runs commands against one running service.
type shell struct {
	service *paytest.Process
	path    string
}

func newShell(t *testing.T) *shell {
	t.Helper()
	tool, err := toolPath()
	require.NoError(t, err)
	return &shell{
		service: payments.Start(t, "-redis", "embedded", "-log", "off"),
		path:    filepath.Dir(tool) + string(filepath.ListSeparator) + os.Getenv("PATH"),
	}
}

// extraSpace is what protojson puts after names in some builds, on purpose.
var extraSpace = regexp.MustCompile(`": +`)

// result is what a command printed, on both of its outputs, and its exit status.
type result struct {
	out  string
	exit int
}

// run runs a command line as a shell does, at the service's address in place of
// the README's.
func (s *shell) run(t *testing.T, line string) result {
	t.Helper()
	require.Contains(t, line, " "+readmeAddress+" ", "else it would go elsewhere")
	cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(line, readmeAddress, s.service.GRPC))
	cmd.Env = append(os.Environ(), "PATH="+s.path)
	printed, err := cmd.CombinedOutput()
	out := extraSpace.ReplaceAllString(string(printed), `": `)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return result{out, exit.ExitCode()}
	}
	require.NoError(t, err)
	return result{out, 0}
}

// ok runs a command that succeeds.
func (s *shell) ok(t *testing.T, line string) result {
	t.Helper()
	r := s.run(t, line)
	require.Zero(t, r.exit, r.out)
	return r
}

// requireCharges asserts how often money moved.
func (s *shell) requireCharges(t *testing.T, n int) {
	t.Helper()
	assert.Len(t, s.service.Entries(t), n, "charges")
}

var paymentID = regexp.MustCompile(`"id": "(pay_\w+)"`)

// ids are the payments in the output, in order.
func (r result) ids() []string {
	var found []string
	for _, match := range paymentID.FindAllStringSubmatch(r.out, -1) {
		found = append(found, match[1])
	}
	return found
}

// requireLines asserts that the output has each of these among its lines.
func (r result) requireLines(t *testing.T, lines ...string) {
	t.Helper()
	var got []string
	for line := range strings.Lines(r.out) {
		got = append(got, strings.TrimSpace(line))
	}
	for _, line := range lines {
		assert.Contains(t, got, line)
	}
}

// problem is the error that the output ends in, as grpcurl prints it.
func (r result) problem() string {
	_, text, _ := strings.Cut(r.out, "ERROR:\n")
	return text
}

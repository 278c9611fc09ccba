package paytest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// module is where the service is found, whichever module the test is in.
const module = "github.com/reprise-go/reprise"

// Binary is the built service, for all tests of a package: it is built when the
// first of them starts one, once with and once without the race detector. The
// zero value is ready for use, and belongs into the test package. Safe for
// concurrent use.
type Binary struct {
	mu    sync.Mutex
	dir   string // "" until something is built
	built map[bool]error
}

// Runner is what [testing.M] is to a leak checker.
type Runner interface {
	Run() int
}

// Main wraps the package's tests so that what was built is removed after them.
// Without it a directory stays behind.
func (b *Binary) Main(m Runner) Runner { return &mainRunner{binary: b, tests: m} }

type mainRunner struct {
	binary *Binary
	tests  Runner
}

// Run runs the tests, removes what was built and returns the tests' exit code.
func (m *mainRunner) Run() int {
	defer m.binary.remove()
	return m.tests.Run()
}

func (b *Binary) remove() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
}

// path returns the service's file, built with or without the race detector.
func (b *Binary) path(t testing.TB, race bool) string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dir == "" {
		dir, err := os.MkdirTemp("", "payments-")
		if err != nil {
			t.Fatalf("paytest: %v", err)
		}
		b.dir, b.built = dir, make(map[bool]error)
	}
	path := filepath.Join(b.dir, fmt.Sprintf("payments-race-%v", race))
	err, done := b.built[race]
	if !done {
		err = build(path, race)
		b.built[race] = err
	}
	if err != nil {
		t.Fatalf("paytest: build the service: %v", err)
	}
	return path
}

// build runs the go command in the service's own module: another module that
// uses it need not have in its go.sum what the service needs besides.
func build(path string, race bool) error {
	root, err := goCommand("", "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return err
	}
	_, err = goCommand(root, "build", fmt.Sprintf("-race=%v", race), "-o", path, "./examples/payments")
	return err
}

// goCommand returns what the go command prints in a directory; "" is the test's.
func goCommand(dir string, args ...string) (string, error) {
	//nolint:noctx // ends by itself, and the test binary's timeout bounds it
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, complaint.String())
	}
	return strings.TrimSpace(string(out)), nil
}

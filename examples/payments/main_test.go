package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// program is the service's binary, built when the first test asks for it.
type program struct {
	build sync.Once
	dir   string
	err   error
}

var built program

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		if built.dir != "" {
			_ = os.RemoveAll(built.dir)
		}
		os.Exit(status)
	}))
}

// binary builds the service, as a user would, and returns where it is.
func (p *program) binary(t *testing.T) string {
	t.Helper()
	p.build.Do(func() {
		if p.dir, p.err = os.MkdirTemp("", "payments"); p.err != nil { //nolint:usetesting // it outlives the test that builds
			return
		}
		out, err := exec.Command("go", "build", "-o", p.path(), ".").CombinedOutput()
		if err != nil {
			p.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	require.NoError(t, p.err)
	return p.path()
}

func (p *program) path() string { return filepath.Join(p.dir, "payments") }

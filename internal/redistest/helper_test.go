package redistest_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
)

// helperEnv, when set, makes this test binary the process that gets killed.
const helperEnv = "REDISTEST_HELPER"

const pidPrefix = "server pid "

// runHelper is the sub-process: it starts a server, says which, and waits for
// the end of its standard input, which comes only if its parent dies first.
func runHelper(t *testing.T) {
	srv := redistest.Start(t)
	fmt.Printf("\n%s%d\n", pidPrefix, srv.PID())
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// startHelper runs the sub-process until its server is up.
func startHelper(t *testing.T) (*exec.Cmd, int) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("NOT TESTED: only Linux ends a child with its parent")
	}
	redistest.Start(t) // skips here, where a reader sees it, without a redis-server
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), helperEnv+"=1")
	_, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())

	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if digits, ok := strings.CutPrefix(lines.Text(), pidPrefix); ok {
			pid, err := strconv.Atoi(digits)
			require.NoError(t, err)
			return cmd, pid
		}
	}
	require.Fail(t, "the helper ended without starting a server")
	return nil, 0
}

// gone reports whether a process runs no more. One whose parent died may stay
// as a zombie where nothing reaps it, as in a container without an init.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && bytes.Contains(stat, []byte(") Z "))
}

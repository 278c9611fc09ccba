package paytest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

const (
	// readyWithin bounds how long a service may take to start.
	readyWithin = 20 * time.Second
	// endWithin bounds how long it may take to drain: its own limit is 10 s.
	endWithin = 30 * time.Second
)

// Process is one running service. Its methods are safe for concurrent use.
type Process struct {
	// Base is "http://" and the address, without a slash at the end.
	Base string
	// URL is where payments are made, with POST.
	URL string
	// GRPC is the address of its gRPC listener; "" if that is off.
	GRPC string
	// Ledger is the file of effects.
	Ledger string

	cmd     *exec.Cmd
	logFile string
	done    chan struct{} // closed when the process has been reaped
}

// Start runs the service on a free port and returns once it is ready. The test's
// cleanup ends it. It has the race detector if the test has.
//
// The arguments are the service's flags, each as "-name", "value". -http is
// added to them, -grpc with a free port unless it is there, and -ledger with a
// file of this process' own unless it is there. Without -redis the service has one inside itself, as the flag's default
// says.
func (b *Binary) Start(t testing.TB, args ...string) *Process {
	t.Helper()
	return start(t, b.path(t, raceEnabled), args)
}

// StartFast is Start without the race detector, for tests that are about
// numbers.
func (b *Binary) StartFast(t testing.TB, args ...string) *Process {
	t.Helper()
	return start(t, b.path(t, false), args)
}

func start(t testing.TB, binary string, args []string) *Process {
	t.Helper()
	dir := t.TempDir()
	p := &Process{
		Ledger:  Argument(args, "-ledger"),
		logFile: filepath.Join(dir, "payments.log"),
		done:    make(chan struct{}),
	}
	args = slices.Clone(args)
	if p.Ledger == "" {
		p.Ledger = filepath.Join(dir, "ledger.jsonl")
		args = append(args, "-ledger", p.Ledger)
	}
	if !slices.Contains(args, "-grpc") {
		args = append(args, "-grpc", "127.0.0.1:0")
	}
	//nolint:noctx // a test's own process, whose life ends by its pid and not by a context
	p.cmd = exec.Command(binary, append(args, "-http", "127.0.0.1:0")...)
	p.cmd.SysProcAttr = childAttributes()
	ready, err := p.run()
	if err != nil {
		t.Fatalf("paytest: %v", err)
	}
	t.Cleanup(p.Kill)
	p.awaitReady(t, ready)
	return p
}

// Argument returns the value of a flag among arguments as [Binary.Start] takes
// them, "" if it is not there.
func Argument(args []string, name string) string {
	i := slices.Index(args, name)
	if i < 0 || i+1 == len(args) {
		return ""
	}
	return args[i+1]
}

// run starts the process and returns where its first line will come.
func (p *Process) run() (<-chan string, error) {
	log, err := os.Create(p.logFile)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	p.cmd.Stderr = log
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("stdout: %w", err)
	}
	started, ready := make(chan error, 1), make(chan string, 1)
	go p.watch(started, ready, stdout, log)
	return ready, <-started
}

// watch starts the process and reaps it. It keeps its thread for as long as the
// process lives, because the kernel's "kill my children when I die" goes by the
// thread that started them.
func (p *Process) watch(started chan<- error, ready chan<- string, stdout io.Reader, log *os.File) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	defer func() { _ = log.Close() }()

	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	ready <- line
	_ = p.cmd.Wait() // how it ended is in ProcessState
}

var readyLine = regexp.MustCompile(`^READY http=(\S+) grpc=(?:off|(\S+)) store=\S+\n$`)

func (p *Process) awaitReady(t testing.TB, ready <-chan string) {
	t.Helper()
	select {
	case line := <-ready:
		addr := readyLine.FindStringSubmatch(line)
		if addr == nil {
			t.Fatalf("paytest: the service printed %q instead of a READY line; its log:\n%s", line, p.Log())
		}
		p.Base = "http://" + addr[1]
		p.URL = p.Base + "/v1/payments"
		p.GRPC = addr[2]
	case <-time.After(readyWithin):
		t.Fatalf("paytest: the service did not get ready within %v; its log:\n%s", readyWithin, p.Log())
	}
}

// Addr returns the host and port on which it listens.
func (p *Process) Addr() string { return p.Base[len("http://"):] }

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log returns what the process has logged so far.
func (p *Process) Log() string {
	raw, err := os.ReadFile(p.logFile)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// Signal sends a signal. [syscall.SIGSTOP] makes the process stand still with
// its connections open, [syscall.SIGCONT] lets it go on, [syscall.SIGTERM]
// drains it.
func (p *Process) Signal(t testing.TB, sig os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("paytest: %v to pid %d: %v", sig, p.PID(), err)
	}
}

// Kill ends the process at once (SIGKILL), stopped or not, and returns when it
// is gone. Killing one that has ended does nothing.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // an error means that it has already ended
	<-p.done
}

// Stop drains the process (SIGTERM) and returns its exit status, also when it has
// ended before. The test fails if it takes longer than the drain's limit allows.
func (p *Process) Stop(t testing.TB) int {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has already ended
	return p.Wait(t)
}

// Wait returns the exit status of a process that has been told to end, once it
// has; -1 if a signal ended it. The test fails if that takes longer than a drain
// may.
func (p *Process) Wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(endWithin):
		t.Fatalf("paytest: the service did not end within %v; its log:\n%s", endWithin, p.Log())
	}
	return p.cmd.ProcessState.ExitCode()
}

// Done returns what is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

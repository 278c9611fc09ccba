package redistest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// binary is the program that is started for servers of every kind.
const binary = "redis-server"

// process is one running child. It is watched by one goroutine, which ends
// when the child has ended.
type process struct {
	cmd     *exec.Cmd
	logfile string
	done    chan struct{} // closed when the child has been reaped
}

// spawn starts the binary in dir. Its output goes to logfile.
func spawn(dir, logfile string, args []string) (*process, error) {
	out, err := os.OpenFile(logfile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open server log: %w", err)
	}
	//nolint:noctx // a test's own server, whose life ends by its pid and not by a context
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.SysProcAttr = childAttributes()

	p := &process{cmd: cmd, logfile: logfile, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.watch(started, out)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	return p, nil
}

// watch starts the child and reaps it. It keeps its thread for as long as the
// child lives, because the kernel's "kill my children when I die" goes by the
// thread that started them, not by the process.
func (p *process) watch(started chan<- error, out *os.File) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	defer func() { _ = out.Close() }()

	err := p.cmd.Start()
	started <- err
	if err == nil {
		_ = p.cmd.Wait() // how it ended is in its log
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends the child at once and waits until it is gone; a stopped one, too.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // an error means that it has already ended
	<-p.done
}

// terminate asks the child to shut down and waits until it is gone. A stopped
// child could not hear the request, so it is woken after it.
func (p *process) terminate() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.resume()
	<-p.done
}

// log returns the end of the child's output, for a failure's message.
func (p *process) log() string {
	const lines = 12
	raw, err := os.ReadFile(p.logfile)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

package redistest

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// childAttributes makes the kernel kill the child when this process dies, be
// it by SIGKILL, and keeps a terminal's Ctrl-C from reaching it first.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// pause stops the child and returns when it stands still: the signal alone is
// only a request, and a server on the other core may answer one more command.
func (p *process) pause() error {
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop pid %d: %w", p.pid(), err)
	}
	for {
		stopped, err := isStopped(p.pid())
		if stopped || err != nil {
			return err
		}
		runtime.Gosched()
	}
}

func (p *process) resume() error {
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("continue pid %d: %w", p.pid(), err)
	}
	return nil
}

// isStopped reads the state letters of all threads of a process.
func isStopped(pid int) (bool, error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return false, fmt.Errorf("read state of pid %d: %w", pid, err)
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", pid, task.Name()))
		if err != nil {
			return false, fmt.Errorf("read state of pid %d: %w", pid, err)
		}
		// "pid (name) state …", where the name may hold anything.
		_, rest, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
		if !bytes.HasPrefix(rest, []byte("T")) {
			return false, nil
		}
	}
	return true, nil
}

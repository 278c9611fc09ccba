package paytest

import "syscall"

// childAttributes makes the kernel kill the process when the test binary dies,
// be it by SIGKILL, and keeps a terminal's Ctrl-C from reaching it first.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

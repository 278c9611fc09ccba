package proxies_test

import "syscall"

// childAttributes makes the kernel kill a proxy when the test binary dies.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

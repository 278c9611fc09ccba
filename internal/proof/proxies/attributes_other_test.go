//go:build !linux

package proxies_test

import "syscall"

func childAttributes() *syscall.SysProcAttr { return nil }

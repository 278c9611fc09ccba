//go:build !linux

package paytest

import "syscall"

func childAttributes() *syscall.SysProcAttr { return nil }

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// hand is a test for what is done by hand: servers and proxies that belong to a
// test belong to it. Of a test's methods it has those that they call. Safe for
// concurrent use.
type hand struct {
	testing.TB

	ctx        context.Context
	complaints io.Writer

	mu       sync.Mutex
	cleanups []func()
	failed   bool
}

// do calls fn, which may end by Fatalf, and then all cleanups.
func (h *hand) do(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	<-done
	for _, clean := range slices.Backward(h.cleanups) {
		clean()
	}
}

// Context implements [testing.TB].
func (h *hand) Context() context.Context { return h.ctx }

// Helper implements [testing.TB].
func (h *hand) Helper() {}

// Cleanup implements [testing.TB].
func (h *hand) Cleanup(fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cleanups = append(h.cleanups, fn)
}

// TempDir implements [testing.TB].
func (h *hand) TempDir() string {
	dir, err := os.MkdirTemp("", "chaos-")
	if err != nil {
		h.Fatalf("%v", err)
	}
	h.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Errorf implements [testing.TB].
func (h *hand) Errorf(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintf(h.complaints, format+"\n", args...)
	h.failed = true
}

// Fatalf implements [testing.TB].
func (h *hand) Fatalf(format string, args ...any) {
	h.Errorf(format, args...)
	runtime.Goexit()
}

// Skip implements [testing.TB]. What is asked for by hand is not skipped.
func (h *hand) Skip(args ...any) { h.Fatalf("%s", fmt.Sprint(args...)) }

// Failed implements [testing.TB].
func (h *hand) Failed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed
}

// Skipped implements [testing.TB].
func (h *hand) Skipped() bool { return false }

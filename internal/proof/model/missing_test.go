package model_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMissingProgramSkipsLoudlyOrFails(t *testing.T) {
	tests := []struct {
		name, require, want string
	}{
		{name: "skipped by default", require: "", want: "skip: NOT TESTED: no some-program"},
		{name: "a failure when servers are required", require: "1", want: "fatal: NOT TESTED: no some-program"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("REPRISE_REQUIRE_SERVERS", test.require)
			r := &recorder{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				find(r, "some-program", "some-package")
			}()
			<-done
			assert.Contains(t, r.said, test.want)
			assert.Contains(t, r.said, "Debian package some-package")
		})
	}
}

// Whatever is not a complete search is no verdict of "ok".
func TestIncompleteSearchIsNotOK(t *testing.T) {
	t.Parallel()
	const complete = "State-vector 152 byte, depth reached 99, errors: 0\n    12345 states, stored\n"
	tests := []struct {
		name, output, want string
	}{
		{name: "complete", output: complete, want: ok},
		{name: "an assertion", output: "pan:1: assertion violated I1_one_effect (at depth 69)\n" + complete, want: oneEffect},
		{name: "an end", output: "pan:1: invalid end state (at depth 145)\n" + complete, want: stuck},
		{name: "a cycle", output: "pan:1: non-progress cycle (at depth 167)\n" + complete, want: endless},
		{name: "too deep", output: "error: max search depth too small\n" + complete, want: "incomplete: error: max search depth too small"},
		{name: "too large", output: "pan: reached -DMEMLIM bound\n" + complete, want: "incomplete: pan: reached -DMEMLIM bound"},
		{name: "nothing", output: "", want: "unreadable: "},
		{name: "no states", output: "errors: 0", want: "unreadable: errors: 0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			verdict, _ := judge(test.output)
			assert.Equal(t, test.want, verdict)
		})
	}
}

// recorder is a test that can end without ending this one.
type recorder struct {
	testing.TB

	said string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.end("fatal: " + fmt.Sprintf(format, args...))
}

func (r *recorder) Skip(args ...any) { r.end("skip: " + fmt.Sprint(args...)) }

func (r *recorder) end(said string) {
	r.said = said
	runtime.Goexit()
}

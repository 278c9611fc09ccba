package proxies_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMissingProxySkipsLoudlyOrFails(t *testing.T) {
	tests := []struct {
		name, require, want string
	}{
		{name: "skipped by default", require: "", want: "skip: NOT TESTED: no some-proxy"},
		{name: "a failure when servers are required", require: "1", want: "fatal: NOT TESTED: no some-proxy"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("REPRISE_REQUIRE_SERVERS", test.require)
			r := &recorder{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				proxyKind{name: "some-proxy", debian: "some-package"}.find(r)
			}()
			<-done
			assert.Contains(t, r.said, test.want)
			assert.Contains(t, r.said, "Debian package some-package")
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

package redistest

import (
	"os"
	"sync"
	"testing"
)

// Shared is one server for all tests of a package, started when the first of
// them asks and ended after the last. The zero value is ready for use, and
// belongs into the test package:
//
//	var shared redistest.Shared
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Main(m)) }
//
// Each test keeps to a namespace of its own. Methods of the server that would
// disturb other tests (pausing, flushing, configuring) fail the test.
type Shared struct {
	once sync.Once
	in   *instance
	err  error
}

// Server returns the shared server, for use by this test. It skips or fails
// without a redis-server, as [Start] does. Safe for concurrent use.
func (s *Shared) Server(t testing.TB) *Server {
	t.Helper()
	need(t)
	s.once.Do(s.launch)
	if s.err != nil {
		t.Fatalf("redistest: %v", s.err)
	}
	return &Server{t: t, in: s.in, shared: true}
}

func (s *Shared) launch() {
	dir, err := os.MkdirTemp("", "redistest-")
	if err != nil {
		s.err = err
		return
	}
	s.in, s.err = launch(dir, config{})
	if s.err != nil {
		_ = os.RemoveAll(dir)
	}
}

// Runner is what [testing.M] is to a leak checker.
type Runner interface {
	Run() int
}

// Main wraps the package's tests so that the shared server ends after them.
// Without it the server ends with the process on Linux, and its directory
// stays behind.
func (s *Shared) Main(m Runner) Runner { return &mainRunner{shared: s, tests: m} }

type mainRunner struct {
	shared *Shared
	tests  Runner
}

// Run runs the tests, ends the server and returns the tests' exit code.
func (m *mainRunner) Run() int {
	defer m.shared.close()
	return m.tests.Run()
}

func (s *Shared) close() {
	if s.in == nil {
		return
	}
	s.in.close()
	_ = os.RemoveAll(s.in.dir)
}

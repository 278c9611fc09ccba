package redistest

import (
	"net/url"
	"os"
	"os/exec"
	"testing"

	"github.com/redis/go-redis/v9"
)

// requireEnv makes a missing server a failure.
const requireEnv = "REPRISE_REQUIRE_SERVERS"

// Server is one redis-server process in the hands of one test. Its methods
// fail the test when they cannot do what they say, so they are for the test's
// own goroutine; Pause, Resume, Kill, Stop and Restart are not to be called
// concurrently.
type Server struct {
	t      testing.TB
	in     *instance
	shared bool
}

// Start runs a redis-server for this test alone and returns when it answers,
// usually after 26 to 40 ms. The test's cleanup ends it.
//
// The server keeps nothing on disk unless [AOF] is given. Without a
// redis-server on the PATH the test is skipped, or fails if the environment
// says REPRISE_REQUIRE_SERVERS=1.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	need(t)
	in, err := launch(t.TempDir(), newConfig(opts))
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	t.Cleanup(in.close)
	return &Server{t: t, in: in}
}

// need ends the test unless there is a redis-server to start.
func need(t testing.TB) {
	t.Helper()
	_, err := exec.LookPath(binary)
	if err == nil {
		return
	}
	const message = "NOT TESTED: no redis-server on the PATH; install the Debian package redis-server (or run make test)"
	if os.Getenv(requireEnv) == "1" {
		t.Fatalf("%s; %s=1 makes that a failure", message, requireEnv)
	}
	t.Skip(message)
}

// Addr returns the server's host and port. It stays the same over a restart.
func (s *Server) Addr() string { return loopback(s.in.port) }

// URL returns the server's address in the form that [redis.ParseURL] reads.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", Host: s.Addr(), Path: "/0"}
	if s.in.cfg.password != "" {
		u.User = url.UserPassword("", s.in.cfg.password)
	}
	return u.String()
}

// Dir returns the server's working directory; an append-only file is below it.
func (s *Server) Dir() string { return s.in.dir }

// PID returns the process id of the running server.
func (s *Server) PID() int { return s.in.proc.pid() }

// Client returns a client of this server, with ContextTimeoutEnabled and
// otherwise go-redis' defaults, changed by the mutators. It is closed at the
// end of the test that is given, before the server ends.
func (s *Server) Client(t testing.TB, mutators ...func(*redis.Options)) *redis.Client {
	t.Helper()
	opts := s.in.options()
	for _, mutate := range mutators {
		mutate(opts)
	}
	rdb := redis.NewClient(opts)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// Pause stops the process (SIGSTOP) and returns when it stands still. Its
// connections stay open and its kernel goes on accepting bytes, which it will
// read when resumed. Linux only.
func (s *Server) Pause() {
	s.t.Helper()
	s.ownOnly("Pause")
	if err := s.in.proc.pause(); err != nil {
		s.t.Fatalf("redistest: %v", err)
	}
}

// Resume lets a paused process go on (SIGCONT).
func (s *Server) Resume() {
	s.t.Helper()
	if err := s.in.proc.resume(); err != nil {
		s.t.Fatalf("redistest: %v", err)
	}
}

// Kill ends the process at once (SIGKILL), as a crash would. [Server.Restart]
// brings it back; without [AOF] it comes back empty.
func (s *Server) Kill() {
	s.t.Helper()
	s.ownOnly("Kill")
	s.in.proc.kill()
}

// Stop asks the process to shut down (SIGTERM) and waits for its end.
func (s *Server) Stop() {
	s.t.Helper()
	s.ownOnly("Stop")
	s.in.proc.terminate()
}

// Restart starts the server anew on the same port and directory, after
// stopping it if it still runs, and returns when it answers.
func (s *Server) Restart() {
	s.t.Helper()
	s.ownOnly("Restart")
	if !s.in.proc.ended() {
		s.in.proc.terminate()
	}
	if err := s.in.run(); err != nil {
		s.t.Fatalf("redistest: restart: %v", err)
	}
}

// ownOnly refuses what would pull a shared server from under other tests.
func (s *Server) ownOnly(method string) {
	s.t.Helper()
	if s.shared {
		s.t.Fatalf("redistest: %s on a shared server; use Start", method)
	}
}

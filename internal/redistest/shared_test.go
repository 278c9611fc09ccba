package redistest_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
)

func TestSharedIsOneServerForAll(t *testing.T) {
	t.Parallel()
	one, two := shared.Server(t), shared.Server(t)
	require.Equal(t, one.PID(), two.PID())
	require.NoError(t, one.Client(t).Set(t.Context(), t.Name(), "v", 0).Err())
	assert.Equal(t, []string{t.Name()}, two.Keys(t.Name()+"*"))
}

func TestSharedServerCannotBeDisturbed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		call func(*redistest.Server)
	}{
		{name: "Pause", call: (*redistest.Server).Pause},
		{name: "Kill", call: (*redistest.Server).Kill},
		{name: "Stop", call: (*redistest.Server).Stop},
		{name: "Restart", call: (*redistest.Server).Restart},
		{name: "FlushAll", call: (*redistest.Server).FlushAll},
		{name: "ScriptFlush", call: (*redistest.Server).ScriptFlush},
		{name: "Config", call: func(s *redistest.Server) { s.Config("maxmemory", "1kb") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			pid := shared.Server(t).PID()
			said := fatalOf(t, func(t testing.TB) { tt.call(shared.Server(t)) })
			assert.Contains(t, said, tt.name+" on a shared server")
			assert.Equal(t, pid, shared.Server(t).PID())
		})
	}
}

func TestMissingServerSkipsLoudlyOrFails(t *testing.T) {
	tests := []struct {
		name    string
		require string
		want    string
	}{
		{name: "skipped by default", require: "", want: "skip: NOT TESTED: no redis-server"},
		{name: "a failure when servers are required", require: "1", want: "fatal: NOT TESTED: no redis-server"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("PATH", t.TempDir())
			t.Setenv("REPRISE_REQUIRE_SERVERS", tt.require)
			said := fatalOf(t, func(t testing.TB) { redistest.Start(t) })
			assert.Contains(t, said, tt.want)
			assert.Contains(t, said, "Debian package redis-server")
		})
	}
}

func TestStartReportsTheServersOwnWords(t *testing.T) {
	t.Parallel()
	shared.Server(t) // skips without a redis-server
	said := fatalOf(t, func(t testing.TB) { redistest.Start(t, redistest.Args("--no-such-word", "1")) })
	assert.Contains(t, said, "no-such-word")
}

// recorder is a test that can be failed without failing this one.
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

// fatalOf returns what a test says when it gives up, "" if it does not.
func fatalOf(t *testing.T, f func(testing.TB)) string {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.said
}

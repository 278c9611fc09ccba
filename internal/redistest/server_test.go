package redistest_test

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
)

func TestStartServesUntilTheTestEnds(t *testing.T) {
	t.Parallel()
	var pid int
	t.Run("inner", func(t *testing.T) {
		srv := redistest.Start(t)
		pid = srv.PID()
		require.NoError(t, srv.Client(t).Ping(t.Context()).Err())
		require.NoError(t, syscall.Kill(pid, 0))
	})
	requireEnded(t, pid)
}

// requireEnded asserts that the server which an inner test started is gone. The
// inner test has said so, loudly, if there was none to start.
func requireEnded(t *testing.T, pid int) {
	t.Helper()
	if pid == 0 {
		t.SkipNow()
	}
	require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
}

func TestServersDoNotShareData(t *testing.T) {
	t.Parallel()
	one, two := redistest.Start(t), redistest.Start(t)
	require.NotEqual(t, one.Addr(), two.Addr())
	require.NoError(t, one.Client(t).Set(t.Context(), "k", "v", 0).Err())
	assert.Empty(t, two.Keys("*"))
}

func TestPausedServerIsSilentAndKeepsItsConnections(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb := srv.Client(t, func(o *redis.Options) { o.MaxRetries, o.PoolSize = -1, 1 })
	require.NoError(t, rdb.Ping(t.Context()).Err())

	srv.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.Error(t, rdb.Set(ctx, "late", "v", 0).Err())

	srv.Resume()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.NoError(c, rdb.Get(t.Context(), "late").Err())
	}, 5*time.Second, 5*time.Millisecond, "bytes sent to a paused server are read later")
}

func TestPausedServerIsEndedToo(t *testing.T) {
	t.Parallel()
	var pid int
	t.Run("inner", func(t *testing.T) {
		srv := redistest.Start(t)
		pid = srv.PID()
		srv.Pause()
	})
	requireEnded(t, pid)
}

func TestRestartKeepsAddressAndWhatWasSynced(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		opts []redistest.Option
		end  func(*redistest.Server)
		want []string
	}{
		{name: "killed, nothing on disk", end: (*redistest.Server).Kill, want: nil},
		{name: "killed, append-only file", opts: []redistest.Option{redistest.AOF()}, end: (*redistest.Server).Kill, want: []string{"k"}},
		{name: "stopped, append-only file", opts: []redistest.Option{redistest.AOF()}, end: (*redistest.Server).Stop, want: []string{"k"}},
		{name: "paused, append-only file", opts: []redistest.Option{redistest.AOF()}, end: (*redistest.Server).Pause, want: []string{"k"}},
		{name: "still running, append-only file", opts: []redistest.Option{redistest.AOF()}, end: func(*redistest.Server) {}, want: []string{"k"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t, tt.opts...)
			addr, pid := srv.Addr(), srv.PID()
			require.NoError(t, srv.Client(t).Set(t.Context(), "k", "v", 0).Err())

			tt.end(srv)
			srv.Restart()

			require.Equal(t, addr, srv.Addr())
			require.NotEqual(t, pid, srv.PID())
			require.Equal(t, tt.want, srv.Keys("*"))
		})
	}
}

func TestOptionsReachTheServer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		opt  redistest.Option
		want string
	}{
		{name: "out of memory", opt: redistest.MaxMemory("1kb", "noeviction"), want: "OOM"},
		{name: "too few replicas", opt: redistest.MinReplicasToWrite(1), want: "NOREPLICAS"},
		{name: "further words", opt: redistest.Args("--rename-command", "SET", ""), want: "ERR unknown command"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rdb := redistest.Start(t, tt.opt).Client(t, func(o *redis.Options) { o.MaxRetries = -1 })
			err := rdb.Set(t.Context(), "k", "v", 0).Err()
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestPasswordIsKnownToClientAndURL(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.RequirePass("p@ss/w0rd"))
	require.NoError(t, srv.Client(t).Ping(t.Context()).Err())

	opts, err := redis.ParseURL(srv.URL())
	require.NoError(t, err)
	byURL := srv.Client(t, func(o *redis.Options) { o.Username, o.Password = opts.Username, opts.Password })
	require.NoError(t, byURL.Ping(t.Context()).Err())

	without := srv.Client(t, func(o *redis.Options) { o.Password = "" })
	require.ErrorContains(t, without.Ping(t.Context()).Err(), "NOAUTH")
}

func TestUserIsBoundByItsRules(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.User("app", "pw", "~app:*", "+@all", "-eval"))
	rdb := srv.Client(t, func(o *redis.Options) { o.Username, o.Password = "app", "pw" })
	require.NoError(t, rdb.Set(t.Context(), "app:k", "v", 0).Err())
	require.ErrorContains(t, rdb.Set(t.Context(), "other", "v", 0).Err(), "NOPERM")
	require.ErrorContains(t, rdb.Eval(t.Context(), "return 1", nil).Err(), "NOPERM")
}

func TestClientHonoursTheCallersDeadline(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	assert.True(t, srv.Client(t).Options().ContextTimeoutEnabled)
}

// The sub-process is this test binary, told to start a server and then to
// stand still until it is killed.
func TestServerDiesWithAKilledTestBinary(t *testing.T) {
	t.Parallel()
	if os.Getenv(helperEnv) != "" {
		runHelper(t)
		return
	}
	helper, pid := startHelper(t)
	require.NoError(t, syscall.Kill(pid, 0), "the server runs while its starter lives")

	require.NoError(t, helper.Process.Kill())
	_ = helper.Wait()
	require.Eventually(t, func() bool { return gone(pid) }, 10*time.Second, 5*time.Millisecond)
}

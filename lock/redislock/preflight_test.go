package redislock_test

import (
	"context"
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/redislock"
)

func TestPreflightFindsWhatIsWrongWithAServer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		rights    []string
		spoil     func(srv *redistest.Server)
		faults    []string // each in the text of one finding
		unchecked []string
	}{
		{name: "nothing"},
		{
			name:   "F34 evicts",
			spoil:  func(srv *redistest.Server) { srv.Config("maxmemory-policy", "allkeys-lru") },
			faults: []string{"maxmemory-policy allkeys-lru"},
		},
		{
			name:   "replica",
			spoil:  func(srv *redistest.Server) { srv.Do("replicaof", "127.0.0.1", "1") },
			faults: []string{"is a replica"},
		},
		{
			name:   "full",
			spoil:  func(srv *redistest.Server) { srv.Config("maxmemory", "1") },
			faults: []string{"SET OOM"},
		},
		{
			name:      "may not look",
			rights:    []string{"~reprise-lock:*", "&reprise-lock:*", "+@all", "-@dangerous"},
			unchecked: []string{"INFO server", "INFO replication", "CONFIG GET maxmemory-policy"},
		},
		{name: "may not run scripts", rights: []string{"~*", "&*", "+@all", "-@scripting"}, faults: []string{"scripts cannot be run"}},
		{
			name:      "may not publish nor write into a record",
			rights:    []string{"~*", "resetchannels", "+@all", "-setrange"},
			faults:    []string{"SETRANGE", "PUBLISH"},
			unchecked: []string{"waiters are not woken"},
		},
		{
			name:      "may do what the documentation says",
			rights:    publishedRights(t),
			unchecked: []string{"INFO server", "INFO replication", "CONFIG GET maxmemory-policy"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var opts []redistest.Option
			if tt.rights != nil {
				opts = append(opts, redistest.User("app", "x", tt.rights...))
			}
			srv := redistest.Start(t, opts...)
			b := open(t, srv.Client(t, func(o *redis.Options) {
				o.MaxRetries = -1
				if tt.rights != nil {
					o.Username, o.Password = "app", "x"
				}
			}))
			if tt.spoil != nil {
				tt.spoil(srv)
			}
			findings, err := b.Preflight(t.Context())
			require.NoError(t, err)
			requireFindings(t, findings, tt.faults, tt.unchecked)
			assert.Empty(t, srv.Keys("*"), "something is left of the probe")
		})
	}
}

func requireFindings(t *testing.T, findings []error, faults, unchecked []string) {
	t.Helper()
	require.Len(t, findings, len(faults)+len(unchecked), "%v", findings)
	for _, finding := range findings {
		require.ErrorContains(t, finding, "redislock: ")
		left := &faults
		if errors.Is(finding, redislock.ErrUnchecked) {
			left = &unchecked
		}
		require.NotEmpty(t, *left, "%v", finding)
		require.ErrorContains(t, finding, (*left)[0])
		*left = (*left)[1:]
	}
}

func TestPreflightOfAnUnreachableServerIsAnError(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	b := open(t, srv.Client(t, func(o *redis.Options) { o.MaxRetries = -1 }))
	srv.Stop()
	findings, err := b.Preflight(t.Context())
	require.ErrorIs(t, err, lock.ErrUnavailable)
	require.Empty(t, findings)
}

func TestPreflightSendsNothingAfterCloseNorForAContextThatHasEnded(t *testing.T) {
	t.Parallel()
	b := open(t, shared.Server(t).Client(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Preflight(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, b.Close())
	_, err = b.Preflight(t.Context())
	require.ErrorIs(t, err, redis.ErrClosed)
}

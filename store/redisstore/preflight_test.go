package redisstore_test

import (
	"context"
	"errors"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

func TestPreflightFindsWhatIsWrongWithAServer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		opts      []redistest.Option
		user      string
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
		{name: "full", spoil: fill, faults: []string{"SET OOM"}},
		{
			name:   "too few replicas",
			opts:   []redistest.Option{redistest.MinReplicasToWrite(1)},
			faults: []string{"SET NOREPLICAS"},
		},
		{
			name:      "may not look",
			opts:      []redistest.Option{redistest.User("app", "x", "~reprise:*", "&reprise:*", "+@all", "-@dangerous")},
			user:      "app",
			unchecked: []string{"INFO server", "INFO replication", "CONFIG GET maxmemory-policy"},
		},
		{
			name:   "may not run scripts",
			opts:   []redistest.Option{redistest.User("app", "x", "~*", "&*", "+@all", "-@scripting")},
			user:   "app",
			faults: []string{"scripts cannot be run"},
		},
		{
			name:      "may not publish nor rename",
			opts:      []redistest.Option{redistest.User("app", "x", "~*", "resetchannels", "+@all", "-rename")},
			user:      "app",
			faults:    []string{"RENAME", "PUBLISH"},
			unchecked: []string{"SUBSCRIBE"},
		},
		{
			name:      "may not scan nor subscribe",
			opts:      []redistest.Option{redistest.User("app", "x", "~*", "&*", "+@all", "-scan", "-subscribe")},
			user:      "app",
			unchecked: []string{"SCAN is refused", "waiters are not woken"},
		},
		{
			name:      "may not ping",
			opts:      []redistest.Option{redistest.User("app", "x", "~*", "&*", "+@all", "-ping")},
			user:      "app",
			unchecked: []string{"waiters are not woken"},
		},
		{
			name: "may do what the documentation says",
			opts: []redistest.Option{redistest.ACLFile(publishedUsers(t))},
			user: publishedUser,
			unchecked: []string{
				"INFO server", "INFO replication", "CONFIG GET maxmemory-policy",
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t, test.opts...)
			s := newStore(t, srv.Client(t, noRepeats, func(o *redis.Options) {
				if test.user != "" {
					o.Username, o.Password = test.user, publishedPass
				}
			}))
			if test.spoil != nil {
				test.spoil(srv)
			}
			findings, err := s.Preflight(t.Context())
			require.NoError(t, err)
			requireFindings(t, findings, test.faults, test.unchecked)
			require.Empty(t, srv.Keys("*"), "something is left of the probe")
		})
	}
}

func requireFindings(t *testing.T, findings []error, faults, unchecked []string) {
	t.Helper()
	require.Len(t, findings, len(faults)+len(unchecked), "%v", findings)
	var isFault, isUnchecked []error
	for _, finding := range findings {
		if errors.Is(finding, store.ErrUnchecked) {
			isUnchecked = append(isUnchecked, finding)
			continue
		}
		isFault = append(isFault, finding)
	}
	require.Len(t, isFault, len(faults), "%v", findings)
	for i, finding := range isFault {
		require.ErrorContains(t, finding, faults[i])
	}
	for i, finding := range isUnchecked {
		require.ErrorContains(t, finding, unchecked[i])
	}
}

// A server that has no CONFIG and hardly an INFO, as some services are.
func TestPreflightSaysWhatItCouldNotCheck(t *testing.T) {
	t.Parallel()
	mr := miniredis.RunT(t)
	rdb := redis.NewClient(&redis.Options{Addr: mr.Addr(), ContextTimeoutEnabled: true})
	defer func() { require.NoError(t, rdb.Close()) }()
	findings, err := newStore(t, rdb).Preflight(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, findings)
	for _, finding := range findings {
		require.ErrorIs(t, finding, store.ErrUnchecked)
	}
}

func TestPreflightOfAnUnreachableServerIsAnError(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.RequirePass("pa55word"))
	s := newStore(t, srv.Client(t, noRepeats, func(o *redis.Options) { o.Password = "" }))
	findings, err := s.Preflight(t.Context())
	require.ErrorIs(t, err, store.ErrUnavailable, "no password")
	require.Empty(t, findings)

	srv.Stop()
	findings, err = s.Preflight(t.Context())
	require.ErrorIs(t, err, store.ErrUnavailable, "no server")
	require.Empty(t, findings)
}

// infoHook lets a server say that it is something else.
type infoHook struct {
	redis.Hook
	info string
}

func (infoHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (infoHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h infoHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if info, ok := cmd.(*redis.StringCmd); ok && cmd.Name() == "info" {
			info.SetVal(h.info)
		}
		return err
	}
}

func TestPreflightJudgesVersions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		version   string
		faults    []string
		unchecked []string
	}{
		{"old", "5.0.14", []string{"has version 5.0.14"}, nil},
		{"a little old", "6.0.16", []string{"has version 6.0.16"}, nil},
		{"oldest", "6.2.0", nil, nil},
		{"two digits", "10.0.1", nil, nil},
		{"strange", "unstable", nil, []string{`"unstable"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			rdb := shared.Server(t).Client(t)
			rdb.AddHook(infoHook{info: "redis_version:" + test.version + "\r\nrole:master\r\n"})
			findings, err := newStore(t, rdb, redisstore.Namespace("versions")).Preflight(t.Context())
			require.NoError(t, err)
			requireFindings(t, findings, test.faults, test.unchecked)
		})
	}
}

package redisstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// A record that goes between SCAN and the look at it is left out.
func TestListLeavesOutWhatVanishes(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb, other := srv.Client(t), srv.Client(t)
	ids := records(t, other, redisstore.DefaultNamespace, 3, 1)
	rdb.AddHook(scanHook{after: func() {
		require.NoError(t, other.Del(context.Background(), recordKey(redisstore.DefaultNamespace, ids[0])).Err())
	}})
	listAll(t, newStore(t, rdb), 100, nil).requires(t, ids[1:])
}

// scanHook does something after a SCAN.
type scanHook struct {
	redis.Hook
	after func()
}

func (scanHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (scanHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h scanHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if cmd.Name() == "scan" {
			h.after()
		}
		return err
	}
}

func TestListThatFailsIsAnErrorAndCanBeRepeated(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t, redistest.User("app", "pa55word", "~*", "&*", "+@all", "-scan"))
	s := newStore(t, srv.Client(t, noRepeats))
	ids := records(t, srv.Client(t), redisstore.DefaultNamespace, 30, 1)
	_, err := newStore(t, srv.Client(t, func(o *redis.Options) {
		o.Username, o.Password = "app", "pa55word"
	})).List(t.Context(), "", 10)
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorContains(t, err, "NOPERM")
	require.ErrorContains(t, err, "redisstore: list: ")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.List(ctx, "", 10)
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorIs(t, err, context.Canceled)

	srv.ScriptFlush()
	failures := 0
	l := listAll(t, s, 10, func(page int) {
		if page != 1 {
			return
		}
		srv.Pause()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := s.List(ctx, "", 10)
		cancel()
		if errors.Is(err, store.ErrUnavailable) && errors.Is(err, context.DeadlineExceeded) {
			failures++
		}
		srv.Resume()
	})
	l.requires(t, ids)
	require.Equal(t, 1, failures)
	require.NoError(t, s.Close())
	_, err = s.List(t.Context(), "", 10)
	require.ErrorIs(t, err, redis.ErrClosed)
}

// masters is a client that says which nodes there are.
type masters struct {
	redis.UniversalClient
	nodes []*redis.Client
	err   error
}

func (m *masters) ForEachMaster(ctx context.Context, visit func(context.Context, *redis.Client) error) error {
	for _, node := range m.nodes {
		if err := visit(ctx, node); err != nil {
			return err
		}
	}
	return m.err
}

// When the masters change, what was scanned on one may be on another now: the
// listing begins again.
func TestListBeginsAgainWhenTheMastersChange(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb := srv.Client(t)
	var nodes []*redis.Client
	for range 3 { // the same server by other names
		proxy := faultproxy.Start(t, srv.Addr())
		nodes = append(nodes, srv.Client(t, func(o *redis.Options) { o.Addr = proxy.Addr() }))
	}
	cluster := &masters{UniversalClient: rdb, nodes: nodes[:2]}
	s := newStore(t, cluster)
	ids := records(t, rdb, redisstore.DefaultNamespace, 100, 1)
	l := listAll(t, s, 10, nil)
	l.requires(t, ids)
	for _, id := range ids {
		require.GreaterOrEqual(t, l.seen[id], 2, "one master was left out")
	}

	after := make(map[store.ID]bool)
	cursor := ""
	for n := 0; n == 0 || cursor != ""; n++ {
		if n == 15 { // on the second of them
			cluster.nodes = nodes[2:]
		}
		page, err := s.List(t.Context(), cursor, 10)
		require.NoError(t, err)
		for _, seen := range page.Records {
			if n >= 15 {
				after[seen.ID] = true
			}
		}
		cursor = page.Next
	}
	require.Len(t, after, len(ids))

	cluster.err = errors.New("no map")
	_, err := s.List(t.Context(), "", 10)
	require.ErrorIs(t, err, store.ErrUnavailable)
}

package redisstore_test

import (
	"bytes"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// Whatever takes the connection away: as soon as there is another, the watch
// gets a signal, because it may have missed something, and hears again.
func TestWatchSignalsAgainAfterALostConnection(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		lose func(proxy *faultproxy.Proxy, srv *redistest.Server)
	}{
		{"killed", func(_ *faultproxy.Proxy, srv *redistest.Server) { srv.Do("client", "kill", "type", "pubsub") }},
		{"reset", func(proxy *faultproxy.Proxy, _ *redistest.Server) { proxy.ResetConnections() }},
		{"silent", func(proxy *faultproxy.Proxy, _ *redistest.Server) { proxy.SwallowReply("ping", 1) }},
		{"server restarted", func(_ *faultproxy.Proxy, srv *redistest.Server) { srv.Restart() }},
		{"server crashed", func(_ *faultproxy.Proxy, srv *redistest.Server) {
			srv.Kill()
			srv.Restart()
		}},
		{"network gone for a while", func(proxy *faultproxy.Proxy, _ *redistest.Server) {
			proxy.Partition()
			time.AfterFunc(3*time.Second, proxy.Heal)
		}},
		{"connections refused for a while", func(proxy *faultproxy.Proxy, _ *redistest.Server) {
			proxy.RefuseConnections()
			proxy.ResetConnections()
			time.AfterFunc(time.Second, proxy.Heal)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, proxy, srv := proxied(t)
			r := newRequest(t)
			w, other := s.Watch(r.id), s.Watch(newRequest(t).id)
			defer w.Close()
			defer other.Close()
			awaits(t, w)
			awaits(t, other)
			require.Zero(t, s.Stats().ListenFailures)

			test.lose(proxy, srv)
			awaits(t, w)
			awaits(t, other)
			require.NotZero(t, s.Stats().ListenFailures)
			require.Equal(t, 1, subscribers(srv))
			require.Equal(t, 2, channels(srv))
			srv.Do("publish", recordKey(redisstore.DefaultNamespace, r.id), "x")
			awaits(t, w)
		})
	}
}

// go-redis would connect again by itself, and the store does: one of them is
// enough.
func TestLostConnectionIsReplacedByOne(t *testing.T) {
	t.Parallel()
	s, srv := own(t)
	w := s.Watch(newRequest(t).id)
	defer w.Close()
	awaits(t, w)
	connections := func() string {
		_, rest, _ := strings.Cut(srv.Do("info", "stats").(string), "total_connections_received:")
		count, _, _ := strings.Cut(rest, "\r")
		return count
	}
	before, err := strconv.Atoi(connections())
	require.NoError(t, err)
	srv.Do("client", "kill", "type", "pubsub")
	awaits(t, w)
	require.Equal(t, strconv.Itoa(before+1), connections())
	require.EqualValues(t, 1, s.Stats().ListenFailures)
}

// A connection that brings nothing is found out within about two seconds.
func TestSilentConnectionIsReplacedSoon(t *testing.T) {
	t.Parallel()
	s, proxy, _ := proxied(t)
	w := s.Watch(newRequest(t).id)
	defer w.Close()
	awaits(t, w)
	dead := proxy.SwallowReply("ping", 1)
	<-dead.First()
	start := time.Now()
	awaits(t, w)
	require.Less(t, time.Since(start), 4*time.Second)
}

// F13: a server that hangs holds up neither who watches nor who leaves.
func TestHangingServerBlocksNoWatchF13(t *testing.T) {
	t.Parallel()
	for _, opened := range []bool{false, true} {
		s, srv := own(t)
		kept := s.Watch(newRequest(t).id)
		if opened {
			awaits(t, kept)
		}
		srv.Pause()
		signalled(kept)
		start := time.Now()
		for range 1000 {
			s.Watch(newRequest(t).id).Close()
		}
		require.Less(t, time.Since(start), time.Second)
		// It gives the connection up, and tries others.
		eventually(t, func() bool { return s.Stats().ListenFailures > 1 }, "it did not notice")
		s.Watch(newRequest(t).id).Close()
		require.False(t, signalled(kept))

		srv.Resume()
		awaits(t, kept)
		require.Equal(t, 1, channels(srv))
		kept.Close()

		last := s.Watch(newRequest(t).id)
		srv.Pause()
		start = time.Now()
		require.NoError(t, s.Close())
		require.Less(t, time.Since(start), 5*time.Second)
		last.Close()
		srv.Resume()
	}
}

// logs is what a store logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logs) option() redisstore.Option {
	return redisstore.Logger(slog.New(slog.NewTextHandler(l, nil)))
}

// F40: without the rights for it nothing is heard and nothing breaks.
func TestMissingRightToSubscribeIsSilenceF40(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		rule []string
	}{
		{"no channels", []string{"~*", "resetchannels", "+@all"}},
		{"other channels", []string{"~*", "resetchannels", "&other:*", "+@all"}},
		{"no command", []string{"~*", "&*", "+@all", "-subscribe"}},
		{"no PING", []string{"~*", "&*", "+@all", "-ping"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			srv := redistest.Start(t, redistest.User("app", "pa55word", test.rule...))
			var logged logs
			s := newStore(t, srv.Client(t, func(o *redis.Options) {
				o.Username, o.Password = "app", "pa55word"
			}), logged.option())
			r := newRequest(t)
			r.claims(t, s, store.Claimed)
			w := s.Watch(r.id)
			defer w.Close()
			eventually(t, func() bool { return s.Stats().ListenFailures > 0 }, "it was permitted")
			signalled(w) // without PING, the subscription may have been confirmed before
			for range 100 {
				s.Watch(newRequest(t).id).Close()
			}
			waiter := r.duplicate()
			waiter.claim.Wait = true
			waiter.claims(t, s, store.InProgress)
			r.applies(t, s, r.complete(answerOf("x")), store.Done)
			waiter.replays(t, s, answerOf("x"))
			require.False(t, signalled(w))
			require.Equal(t, 1, strings.Count(logged.String(), "\n"), logged.String())
			require.Contains(t, logged.String(), "NOPERM")
			require.NotContains(t, logged.String(), r.id.String())
			require.EqualValues(t, 1, s.Stats().ListenFailures)
		})
	}
}

// While Redis cannot be reached there is one line of log, and a pause between
// tries that does not grow without bound.
func TestUnreachableServerIsLoggedOnce(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	var logged logs
	s := newStore(t, srv.Client(t, noRepeats), logged.option())
	w := s.Watch(newRequest(t).id)
	defer w.Close()
	awaits(t, w)
	srv.Kill()
	eventually(t, func() bool { return s.Stats().ListenFailures >= 6 }, "it stopped trying")
	require.Equal(t, 1, strings.Count(logged.String(), "notifications are not heard"), logged.String())
	srv.Restart()
	awaits(t, w)
}

// A client that its owner closed first leaves watches silent and the store
// closable.
func TestWatchOverAClosedClientIsSilent(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	rdb := srv.Client(t)
	s := newStore(t, rdb)
	w := s.Watch(newRequest(t).id)
	defer w.Close()
	awaits(t, w)
	require.NoError(t, rdb.Close())
	eventually(t, func() bool { return s.Stats().ListenFailures > 1 }, "it did not notice")
	require.False(t, signalled(w))
}

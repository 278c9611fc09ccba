package topology_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store/redisstore"
)

// failoverWithin is how soon a service has to be back after the crash of a cluster's
// master, counted from when its nodes agree on a new one. How long those take for that
// is theirs, and a busy machine's: a second to notice, and the vote.
const failoverWithin = 5 * time.Second

// onCluster starts three masters with a replica each and a service on them. The
// clients look at the map of slots as rarely as go-redis does by default.
func onCluster(t *testing.T, opts ...redisstore.Option) (*redistest.Cluster, *stage) {
	t.Helper()
	servers := redistest.StartCluster(t)
	return servers, newStage(t, func() redis.UniversalClient { return servers.Client(t) }, opts...)
}

// running is an attempt that goes on until it is told to end, and what became of it.
type running struct {
	key   string
	slot  string // the record's name, which decides the slot
	end   func()
	ended chan struct{}

	result idempotency.Result
	err    error
}

// start starts an attempt on a new key, as soon as there is service.
func (s *stage) start(t *testing.T) *running {
	t.Helper()
	limit := time.Now().Add(backWithin)
	for {
		r, began := s.tryStart(t)
		if began {
			return r
		}
		require.True(t, time.Now().Before(limit), "service is not back: %v", r.err)
	}
}

func (s *stage) tryStart(t *testing.T) (r *running, began bool) {
	t.Helper()
	started, finish := make(chan string, 1), make(chan struct{})
	r = &running{key: s.newKey(), ended: make(chan struct{}), end: sync.OnceFunc(func() { close(finish) })}
	go func() {
		defer close(r.ended)
		r.result, r.err = s.askFor(t.Context(), r.key, func(ctx context.Context) {
			info, _ := idempotency.FromContext(ctx)
			started <- info.OperationID
			select {
			case <-finish:
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(func() {
		r.end()
		<-r.ended
	})
	select {
	case id := <-started:
		r.slot = redisstore.DefaultNamespace + ":{" + id + "}"
		return r, true
	case <-r.ended:
		return r, false
	}
}

// finishes ends the attempt and wants its answer to be the recorded one.
func (r *running) finishes(t *testing.T, s *stage) {
	t.Helper()
	r.end()
	<-r.ended
	require.NoError(t, r.err)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		replay, err := s.ask(t.Context(), r.key)
		if assert.NoError(c, err) {
			assert.Equal(c, string(r.result.Answer.Body), string(replay.Answer.Body))
		}
	}, backWithin, 20*time.Millisecond)
}

// F18: the slot of an attempt that runs is moved to another master, with duplicates
// of it and other requests all the while.
func TestS11_SlotsThatMoveUnderLoadF18(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		opts []redisstore.Option
	}{
		{"plain", nil},
		{"MinReplicas", []redisstore.Option{redisstore.MinReplicas(1, 500*time.Millisecond)}},
		{"AutoPipeline", []redisstore.Option{redisstore.AutoPipeline()}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			servers, s := onCluster(t, test.opts...)
			l := s.load(t)
			l.answers(t, 50)
			for range rounds() {
				moveUnderLoad(t, servers, s, l)
			}
			l.end()
			l.again(t)
			requireOnce(t, s)
			require.Zero(t, s.lost.Load(), "no lease is lost to that")
		})
	}
}

func moveUnderLoad(t *testing.T, servers *redistest.Cluster, s *stage, l *load) {
	t.Helper()
	r := s.start(t)
	from, _ := servers.MasterOf(r.slot)
	var to *redistest.Server
	for _, master := range servers.Masters() {
		if master != from {
			to = master
		}
	}
	l.repeat(r.key)
	move := servers.BeginMigration(r.slot, to)
	l.answers(t, 20)
	move.MoveKeys()
	l.answers(t, 20)
	move.Finish()
	l.answers(t, 20)
	r.finishes(t, s)
	owner, _ := servers.MasterOf(r.slot)
	require.Same(t, to, owner)
}

// A master of a cluster is killed under load: nothing that was acknowledged runs
// twice.
func TestKilledClusterMastersWithMinReplicas(t *testing.T) {
	t.Parallel()
	servers, s := onCluster(t, redisstore.MinReplicas(1, ackTimeout))
	l := s.load(t)
	for round := range rounds() {
		l.answers(t, 50)
		r := s.start(t)
		master, replicas := servers.MasterOf(r.slot)
		if round%2 == 0 {
			replicas[0].Pause()
			master.CutReplicas()
			l.isRefused(t, 10)
		}
		master.Kill()
		replicas[0].Resume()
		servers.AwaitFailover(master, r.slot)
		servers.Rejoin(master) // it acknowledges what the new one writes
		began := time.Now()
		s.servesAll(t, servers)
		require.Less(t, time.Since(began), failoverWithin)
		r.finishes(t, s)
	}
	l.end()
	l.again(t)
	requireOnce(t, s)
	require.Positive(t, s.stores[0].Stats().Unacknowledged)
}

// F20: after the crash of a master the service is back as soon as the cluster is,
// and not when the client next looks at the map of slots, a minute later.
func TestServiceIsBackSoonAfterAClusterMasterDiedF20(t *testing.T) {
	t.Parallel()
	servers, s := onCluster(t)
	l := s.load(t)
	for range rounds() {
		l.answers(t, 50)
		r := s.start(t)
		master, replicas := servers.MasterOf(r.slot)
		r.end()
		<-r.ended
		follows(t, master, replicas[0]) // so that the answer is not lost
		master.Kill()
		died := time.Now()
		servers.AwaitFailover(master, r.slot)
		elected := time.Now()
		require.Eventually(t, func() bool {
			_, err := s.ask(t.Context(), r.key)
			return err == nil
		}, backWithin, 20*time.Millisecond)
		s.servesAll(t, servers)
		require.Less(t, time.Since(elected), failoverWithin)
		t.Logf("the nodes took %v to agree, the service %v more", elected.Sub(died), time.Since(elected))
		servers.Rejoin(master)
	}
}

// servesAll waits until new keys on every master are answered again.
func (s *stage) servesAll(t *testing.T, servers *redistest.Cluster) {
	t.Helper()
	for missing := servers.Masters(); len(missing) > 0; {
		s.serves(t)
		r := s.start(t)
		owner, _ := servers.MasterOf(r.slot)
		r.finishes(t, s)
		missing = without(missing, owner)
	}
}

func without(servers []*redistest.Server, gone *redistest.Server) []*redistest.Server {
	var rest []*redistest.Server
	for _, server := range servers {
		if server != gone {
			rest = append(rest, server)
		}
	}
	return rest
}

package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/store"
)

// ErrUnacknowledged is the cause of a [store.ErrUnavailable]: the server has
// executed the event, but fewer replicas than [MinReplicas] asks for have said in
// time that they received it.
var ErrUnacknowledged = errors.New("too few replicas acknowledged the write")

const (
	minWait = time.Millisecond
	maxWait = time.Second
	// waitSlack is left of a caller's time for the reply to WAIT. A server that
	// has nothing else to do looks at timeouts ten times a second only.
	waitSlack = 150 * time.Millisecond
)

// MinReplicas makes claims, renewals, marks and completions wait until n replicas
// have acknowledged them (WAIT), for timeout at most: 1 ms to 1 s, and less than
// the client's ReadTimeout; an idle server notices up to 100 ms late that it is over,
// and a caller's deadline shortens it. Without it, the default, a master that dies takes
// with it what it had not passed on yet, and a retry may run again.
//
// With n the number of all replicas that may be promoted, a claim that was
// answered is on every later master: its operation is not started twice when one
// dies, only replaced under Sentinel or in a cluster. With a smaller n that rests
// on the choice of the replica that has most, which both try. It does not help
// when servers come back empty ([MemoryGuard] does), and Redis promises for WAIT
// no more than that loss becomes unlikely: a replica that lost its own memory
// since has acknowledged all the same.
//
// WAIT goes behind the event on the same connection, to the node that executed it,
// so no event costs another round trip; while a cluster's slot is moved, one for
// its redirection and two for a look at the map. Claims that start nothing, such
// as replays, never wait. Once replicas were too slow, and until they are not, a claim
// that starts an attempt takes a second round trip, so that the others need not keep
// connections busy. Releases, failures and settlements do not either: what
// they leave behind when they are lost is an outcome that is not known, and never a
// second run.
//
// Without enough acknowledgements the error wraps [store.ErrUnavailable] and
// [ErrUnacknowledged], and [Stats].Unacknowledged counts. A claim's handler is
// then not run, and the claim released in the background. A renewal counts as
// not confirmed, so handlers are cancelled when replicas are gone for about a
// lease. A mark is not to be relied on. A completion is sent again under the
// lease; the answer goes out meanwhile, marked as not recorded.
//
// It needs a *redis.Client or a *redis.ClusterClient. [Store.Preflight] says
// when fewer than n replicas are connected.
func MinReplicas(n int, timeout time.Duration) Option {
	return option(func(s *settings) { s.replicas = replicas{asked: true, min: n, timeout: timeout} })
}

// replicas says how many have to acknowledge a write, and within what time.
type replicas struct {
	asked   bool
	min     int
	timeout time.Duration
}

func (r replicas) validate() error {
	switch {
	case !r.asked:
		return nil
	case r.min < 1:
		return fmt.Errorf("redisstore: MinReplicas: %d replicas; 1 is the least", r.min)
	case r.timeout < minWait || r.timeout > maxWait:
		return fmt.Errorf("redisstore: MinReplicas: timeout %v is not from %v to %v", r.timeout, minWait, maxWait)
	}
	return nil
}

// checkClient wants a client that a connection's own replies can be had from.
func (r replicas) checkClient(rdb redis.UniversalClient) error {
	if !r.asked {
		return nil
	}
	var readTimeout time.Duration
	switch c := rdb.(type) {
	case *redis.Client:
		readTimeout = c.Options().ReadTimeout
	case *redis.ClusterClient:
		readTimeout = c.Options().ReadTimeout
	default:
		return fmt.Errorf("redisstore: MinReplicas needs a *redis.Client or a *redis.ClusterClient, not a %T: "+
			"only there is it known which server WAIT goes to", rdb)
	}
	if readTimeout > 0 && readTimeout <= r.timeout {
		return fmt.Errorf("redisstore: MinReplicas: timeout %v is not below the client's ReadTimeout of %v",
			r.timeout, readTimeout)
	}
	return nil
}

// wait adds WAIT to a pipeline. It ends before the context does, or the connection
// would be lost with the answer.
func (r replicas) wait(ctx context.Context, pipe redis.Pipeliner) *redis.Cmd {
	timeout := r.timeout
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		timeout = min(timeout, max(left-waitSlack, left/2))
	}
	return pipe.Do(ctx, "wait", r.min, max(timeout.Milliseconds(), 1))
}

// acknowledged returns why a write that was executed does not count. Only the
// number that the server gives says how many have it.
func (s *Store) acknowledged(acks *redis.Cmd) error {
	if acks == nil {
		return nil
	}
	err := s.replicas.check(acks)
	s.lagging.Store(err != nil)
	if err == nil {
		return nil
	}
	s.counters.unacknowledged.Add(1)
	return err
}

// check returns an error if fewer replicas than asked for have acknowledged.
func (r replicas) check(acks *redis.Cmd) error {
	n, err := acks.Int()
	if err != nil {
		return fmt.Errorf("%w: WAIT: %w", ErrUnacknowledged, err)
	}
	if n < r.min {
		return fmt.Errorf("%w: %d of %d", ErrUnacknowledged, n, r.min)
	}
	return nil
}

// confirmed reads a script's reply to an event on one record, which counts as
// done only if the replicas have it, too.
func (s *Store) confirmed(
	ctx context.Context, event string, id store.ID, owner store.Owner, got answers,
) (store.Reply, error) {
	reply, err := s.replyTo(ctx, event, id, owner, got.reply)
	if err != nil || reply.Verdict != store.Done {
		return reply, err
	}
	if err := s.acknowledged(got.acks); err != nil {
		return store.Reply{}, s.unavailable(ctx, event, id, err)
	}
	return reply, nil
}

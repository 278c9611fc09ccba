package linearizability_test

import (
	"cmp"
	"context"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/proof/linearizability"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// operationsEnv says how many operations each profile has.
const operationsEnv = "OPERATIONS"

const (
	// faultyShare is the least share of operations without an answer, in a
	// profile that is there to make some.
	faultyShare = 0.02
	// judging bounds the time for one record, which takes a millisecond.
	judging = 20 * time.Second
)

// profile is a way to trouble a line.
type profile struct {
	name    string
	seed    uint64
	trouble trouble
	faulty  bool
	// timeout of the callers; patient if 0.
	timeout time.Duration
	// half says that half of the clients are spared the trouble: their answers
	// tell what became of the others' events.
	half bool
	// wrap and edits break the store.
	wrap  func(store.Store) store.Store
	edits []edit
}

// trouble acts on a line until the context ends.
type trouble func(ctx context.Context, l line)

// line is what a trouble can reach.
type line struct {
	proxy  *faultproxy.Proxy
	direct *redis.Client // around the proxy
}

const (
	lease     = 8 * time.Millisecond
	patient   = 250 * time.Millisecond
	impatient = slowness * 15 * time.Millisecond
)

var profiles = []profile{
	{name: "no fault", seed: 1},
	{name: "no fault, again", seed: 2},
	{name: "5 % of the replies lost", seed: 3, trouble: loseReplies(0.05, 3), faulty: true},
	{name: "15 % of the replies lost", seed: 4, trouble: loseReplies(0.15, 4), faulty: true},
	{name: "15 % of the replies lost, again", seed: 5, trouble: loseReplies(0.15, 5), faulty: true},
	{name: "latency beyond the callers' patience", seed: 6, trouble: delays, faulty: true, timeout: impatient, half: true},
	{name: "scripts forgotten", seed: 7, trouble: flushScripts},
	{name: "scripts forgotten and 5 % of the replies lost", seed: 8, trouble: both(flushScripts, loseReplies(0.05, 8)), faulty: true},
}

// The store on a real server gives the answers that the protocol gives, in an
// order that agrees with real time, whatever happens to the line.
func TestHistoriesOfRedisstoreFollowTheProtocol(t *testing.T) {
	for _, p := range profiles {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			h := p.run(t, operations(t))
			t.Logf("%d operations on %d records, %d unanswered: %v",
				h.Operations(), h.Records(), h.Unanswered(), h.Verdicts())
			if p.faulty {
				assert.GreaterOrEqual(t, float64(h.Unanswered()), faultyShare*float64(h.Operations()))
			}
			began := time.Now()
			for _, f := range h.Check(2, judging) {
				path := t.ArtifactDir() + "/history.html"
				_ = f.Visualize(path)
				t.Errorf("%v (see %s):\n%s", f.Result, path, f.Text)
			}
			t.Logf("judged in %v", time.Since(began).Round(time.Millisecond))
		})
	}
}

func operations(t *testing.T) int {
	t.Helper()
	text := os.Getenv(operationsEnv)
	if text == "" {
		return defaultOperations
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// run sends a workload, from two stores on one server.
func (p profile) run(t *testing.T, operations int) *linearizability.Histories {
	t.Helper()
	srv := redistest.Start(t)
	l := line{proxy: faultproxy.Start(t, srv.Addr()), direct: srv.Client(t)}
	ctx, stop := context.WithCancel(t.Context())
	var trouble sync.WaitGroup
	if p.trouble != nil {
		trouble.Go(func() { p.trouble(ctx, l) })
	}
	h, err := linearizability.Workload{
		Operations: operations,
		Lease:      lease,
		Timeout:    cmp.Or(p.timeout, patient),
		Seed:       p.seed,
	}.Run(t.Context(), p.store(t, srv, l.proxy.Addr()), p.store(t, srv, p.other(t, l, srv)))
	stop()
	trouble.Wait()
	require.NoError(t, err)
	return h
}

// other is where the second half of the clients connects. A line of their own
// is as slow, so that they send no more than the others.
func (p profile) other(t *testing.T, l line, srv *redistest.Server) string {
	t.Helper()
	if !p.half {
		return l.proxy.Addr()
	}
	proxy := faultproxy.Start(t, srv.Addr())
	proxy.DelayReplies(slowness * time.Millisecond)
	return proxy.Addr()
}

func (p profile) store(t *testing.T, srv *redistest.Server, addr string) store.Store {
	t.Helper()
	rdb := srv.Client(t, func(o *redis.Options) {
		o.Addr = addr
		o.MaxRetries = -1 // an operation is one execution; the clients repeat
		o.PoolSize = linearizability.Clients
	})
	if p.edits != nil {
		rdb.AddHook(newRewriter(t, p.edits))
	}
	st, err := redisstore.New(rdb)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, st.Close()) })
	if p.wrap != nil {
		return p.wrap(st)
	}
	return st
}

// loseReplies loses a share of the replies to events.
func loseReplies(share float64, seed uint64) trouble {
	return func(_ context.Context, l line) {
		l.proxy.LoseReplies("evalsha", share, seed)
		l.proxy.LoseReplies("eval", share, seed)
	}
}

// delays makes the line slow, and now and then so slow that requests arrive
// after their callers gave up.
func delays(ctx context.Context, l line) {
	for beat := 0; pause(ctx, slowness*10*time.Millisecond); beat++ {
		l.proxy.DelayReplies(slowness * time.Millisecond)
		l.proxy.DelayRequests(0)
		if beat%3 == 2 {
			l.proxy.DelayRequests(2 * impatient)
		}
	}
	l.proxy.DelayReplies(0)
	l.proxy.DelayRequests(0)
}

// flushScripts makes the server forget all scripts, again and again.
func flushScripts(ctx context.Context, l line) {
	for pause(ctx, 15*time.Millisecond) {
		_ = l.direct.ScriptFlush(ctx).Err() // it ends with ctx, and the next one comes soon
	}
}

func both(one, other trouble) trouble {
	return func(ctx context.Context, l line) {
		other(ctx, l)
		one(ctx, l)
	}
}

// pause waits, and reports whether to go on. Real time is what is troubled here.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

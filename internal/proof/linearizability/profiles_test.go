package linearizability_test

import (
	"cmp"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/proof/linearizability"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// Environment variables of this package's tests.
const (
	proofEnv      = "REPRISE_PROOF" // "full" for the full size
	operationsEnv = "OPERATIONS"    // another size: how many operations each profile has
)

// fullOperations is how many operations each profile has at full size.
const fullOperations = 80_000

const (
	// faultyShare is the least share of operations without an answer, in a
	// profile that is there to make some.
	faultyShare = 0.02
	// judging bounds the time for one record, which takes some milliseconds.
	judging = 2 * time.Minute
)

const (
	lease     = 8 * time.Millisecond
	patient   = 250 * time.Millisecond
	impatient = slowness * 15 * time.Millisecond
)

// profile is what clients meet with: see [line] for what can be troubled.
type profile struct {
	name    string
	seed    uint64
	trouble trouble
	// faulty profiles leave some operations without an answer.
	faulty bool
	// timeout of the callers; patient if 0.
	timeout time.Duration
	// half says that half of the clients are spared the trouble: their answers
	// tell what became of the others' events.
	half bool
	// durable says that the server keeps what it has acknowledged over a crash.
	durable bool
	// These break the store, or the lock.
	wrap     func(store.Store) store.Store
	wrapLock func(lock.Backend) lock.Backend
	edits    []edit
}

var profiles = []profile{
	{name: "no fault", seed: 1},
	{name: "5 % of the replies lost", seed: 2, trouble: loseReplies(0.05), faulty: true},
	{name: "15 % of the replies lost", seed: 3, trouble: loseReplies(0.15), faulty: true},
	{name: "latency beyond the callers' patience", seed: 4, trouble: delays, faulty: true, timeout: impatient, half: true},
	{name: "connections reset", seed: 5, trouble: resets, faulty: true},
	{name: "5 % of the replies cut in two", seed: 6, trouble: cutReplies(0.05), faulty: true},
	{name: "the server stands still", seed: 7, trouble: pauses, faulty: true, timeout: impatient},
	{name: "the server is killed, 4 % of the replies lost", seed: 8, trouble: all(loseReplies(0.04), kills), faulty: true, durable: true},
	{name: "scripts forgotten", seed: 9, trouble: flushScripts},
	{name: "scripts forgotten, 5 % of the replies lost", seed: 10, trouble: all(loseReplies(0.05), flushScripts), faulty: true},
	{name: "out of memory, 5 % of the replies lost", seed: 11, trouble: all(loseReplies(0.05), fillMemory), faulty: true},
	{name: "connections reset, 15 % of the replies lost", seed: 12, trouble: all(loseReplies(0.15), resets), faulty: true},
}

// The store on a real server gives the answers that the protocol gives, in an
// order that agrees with real time, whatever happens to the line.
func TestHistoriesOfRedisstoreFollowTheProtocol(t *testing.T) {
	for _, p := range profiles {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.judge(t, p.run(t, operations(t)))
		})
	}
}

// judge fails the test if a history is not in order, or if too little happened to
// say so.
func (p profile) judge(t *testing.T, h *linearizability.Histories) {
	t.Helper()
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
}

func operations(t *testing.T) int {
	t.Helper()
	text := os.Getenv(operationsEnv)
	switch {
	case text == "" && os.Getenv(proofEnv) == "full":
		return fullOperations
	case text == "":
		return defaultOperations
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// run sends a workload, from two stores on one server.
func (p profile) run(t *testing.T, operations int) *linearizability.Histories {
	t.Helper()
	l := p.start(t)
	stores := []store.Store{p.store(t, l, l.troubled()), p.store(t, l, l.spared(p.half))}
	return l.during(t, p.trouble, func() (*linearizability.Histories, error) {
		return p.workload(l, operations).Run(t.Context(), stores...)
	})
}

func (p profile) workload(l *line, operations int) linearizability.Workload {
	return linearizability.Workload{
		Operations: operations,
		Lease:      lease,
		Timeout:    cmp.Or(p.timeout, patient),
		Seed:       p.seed,
		Gate:       l.up.RLocker(),
		Sent:       &l.sent,
	}
}

func (p profile) store(t *testing.T, l *line, addr string) store.Store {
	t.Helper()
	st, err := redisstore.New(p.client(t, l, addr, storeScripts))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, st.Close()) })
	if p.wrap != nil {
		return p.wrap(st)
	}
	return st
}

// client returns one whose commands are executed once at most: it is the
// workload's clients who repeat.
func (p profile) client(t *testing.T, l *line, addr string, scripts library) *redis.Client {
	t.Helper()
	rdb := l.server.Client(t, func(o *redis.Options) {
		o.Addr = addr
		o.MaxRetries = -1
		o.PoolSize = linearizability.Clients
	})
	if p.edits != nil {
		rdb.AddHook(newRewriter(t, scripts, p.edits))
	}
	return rdb
}

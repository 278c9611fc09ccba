package conformance_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
)

func TestC1_HundredEqualRequestsOverThreeNodes(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	var nodes []*service
	for range 3 {
		nodes = append(nodes, newService(t, setup{namespace: ns, handler: func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(50 * time.Millisecond) // the work
			w.WriteHeader(201)
		}}))
	}
	c := call{key: newKey(), body: "B"}
	answers := make([]response, 100)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			resp, err := trySend(t, nodes[i%len(nodes)].URL, c)
			assert.NoError(t, err)
			answers[i] = resp
		})
	}
	wg.Wait()
	executed := 0
	for _, resp := range answers {
		switch resp.Header.Get("Idempotency-Status") {
		case "executed":
			executed++
			assert.Equal(t, 201, resp.Status)
		case "replayed":
			assert.Equal(t, 201, resp.Status)
		default:
			requireProblem(t, resp, 409, "in_progress")
		}
	}
	assert.Equal(t, 1, executed)
	assert.Equal(t, 1, nodes[0].Runs()+nodes[1].Runs()+nodes[2].Runs())
}

func TestC2_ConflictSaysWhatToDo(t *testing.T) {
	t.Parallel()
	handler, started, goOn := blocking(t)
	s := newService(t, setup{handler: handler})
	c := call{key: newKey()}
	first := background(t, s.URL, c)
	<-started
	second := send(t, s.URL, c)
	p := requireProblem(t, second, 409, "in_progress")
	assert.True(t, p.Retryable)
	require.NotNil(t, p.SafeNewKey)
	assert.False(t, *p.SafeNewKey)
	assert.Equal(t, "conflict", second.Header.Get("Idempotency-Status"))
	seconds, err := strconv.Atoi(second.Header.Get("Retry-After"))
	require.NoError(t, err)
	assert.GreaterOrEqual(t, seconds, 1)
	assert.LessOrEqual(t, seconds, 30, "no longer than the lease")
	close(goOn)
	requireExecuted(t, <-first)
}

func TestC9_RecordThatVanishesBeforeItIsReadIsClaimedAnew(t *testing.T) {
	t.Parallel()
	redistest.NotWithLocalCache(t, "it adds a PTTL between the claim and the GET")
	rdb := shared.Server(t).Client(t)
	gap := &pipelineGap{between: func(ctx context.Context, claim redis.Cmder) {
		record, _ := claim.Args()[3].(string)
		assert.NoError(t, shared.Server(t).Client(t).Del(ctx, record).Err())
	}}
	rdb.AddHook(gap)
	s := newService(t, setup{redis: rdb})
	c := call{key: newKey()}
	requireExecuted(t, send(t, s.URL, c))
	gap.armed.Store(true)
	second := send(t, s.URL, c)
	requireExecuted(t, second)
	assert.True(t, gap.done.Load())
	assert.Equal(t, 2, s.Runs(), "the record is gone: a run of its own, under a claim of its own")
	requireReplay(t, second, send(t, s.URL, c))
	assert.Equal(t, 2, s.Runs())
}

// pipelineGap does something between the two commands of a claim, once.
type pipelineGap struct {
	between func(ctx context.Context, claim redis.Cmder)
	armed   atomic.Bool
	done    atomic.Bool
}

func (g *pipelineGap) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (g *pipelineGap) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (g *pipelineGap) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !g.armed.Load() || len(cmds) != 2 || cmds[1].Name() != "get" || g.done.Swap(true) {
			return next(ctx, cmds)
		}
		if err := next(ctx, cmds[:1]); err != nil {
			return err
		}
		g.between(ctx, cmds[0])
		return next(ctx, cmds[1:])
	}
}

func TestC10_CompletionBeforeADelayedClaimIsAReplay(t *testing.T) {
	t.Parallel()
	handler, started, goOn := blocking(t)
	ns := namespaceOf(t)
	n := newNode(t, redistest.Start(t), setup{namespace: ns, handler: handler})
	c := call{key: newKey()}
	first := background(t, n.URL, c)
	<-started
	held := n.line.Hold(recordName(ns, idOf(c.key)), 1) // the duplicate's claim is on its way …
	second := background(t, n.URL, c)
	<-held.First()
	close(goOn)
	done := <-first // … while the answer is recorded
	requireExecuted(t, done)
	held.Deliver()
	requireReplay(t, done, <-second)
	assert.Equal(t, 1, n.Runs())
}

// A completion that races with a duplicate's claim is either not yet there or
// there: the claim decides on the record in one step.
func TestC10_CompletionRacingAClaimIsAConflictOrAReplay(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{})
	for range 100 {
		c := call{key: newKey()}
		first, second := background(t, s.URL, c), background(t, s.URL, c)
		statuses := map[string]int{}
		for _, resp := range []response{<-first, <-second} {
			statuses[resp.Header.Get("Idempotency-Status")]++
		}
		assert.Equal(t, 1, statuses["executed"], statuses)
		assert.Equal(t, 1, statuses["replayed"]+statuses["conflict"], statuses)
	}
	assert.Equal(t, 100, s.Runs())
}

func TestC11_EqualPayloadsUnderDifferentKeysBothRun(t *testing.T) {
	t.Parallel()
	var both sync.WaitGroup
	both.Add(2)
	s := newService(t, setup{handler: func(w http.ResponseWriter, _ *http.Request) {
		both.Done()
		both.Wait() // each waits for the other, so they run at once
		_, _ = io.WriteString(w, "ok")
	}})
	first := background(t, s.URL, call{key: newKey(), body: "B"})
	second := background(t, s.URL, call{key: newKey(), body: "B"})
	requireExecuted(t, <-first)
	requireExecuted(t, <-second)
	assert.Equal(t, 2, s.Runs())
}

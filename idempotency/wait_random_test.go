package idempotency_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// Three processes ask for one operation at random times, hang up, have deadlines,
// and lose claims, replies and time on the way; some claims arrive late. Handlers
// mostly release. However that goes: no two run at once, one answer, nobody waits
// beyond the policy, and nothing is left as running that never started.
func TestWaitersUnderRandomFaults(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newChaos(t, seed).run(t) })
		})
	}
}

type chaos struct {
	mu      sync.Mutex
	random  *rand.Rand
	backend *backend
	nodes   []*process

	active, overlaps atomic.Int32
	unsure           atomic.Bool // a handler's context ended while it ran
	answers          sync.Map
}

func newChaos(t *testing.T, seed uint64) *chaos {
	t.Helper()
	c := &chaos{random: rand.New(rand.NewPCG(seed, 0)), backend: newBackend()}
	for i := range 3 {
		var p *process
		if i == 0 {
			p = start(t, c.backend) // one that hears nothing
		} else {
			p, _ = startListening(t, c.backend)
		}
		p.node.always(c.fault, "claim")
		c.nodes = append(c.nodes, p)
	}
	return c
}

func (c *chaos) draw(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.random.IntN(n)
}

func (c *chaos) within(d time.Duration) time.Duration { return time.Duration(c.draw(int(d))) }

func (c *chaos) fault(ctx context.Context, execute func() store.Reply) (store.Reply, error) {
	switch c.draw(14) {
	case 0:
		return lostReply(ctx, execute)
	case 1:
		return lostRequest(ctx, execute)
	case 2:
		return late(c.within(2500*time.Millisecond))(ctx, execute)
	case 3:
		return slow(c.within(400*time.Millisecond))(ctx, execute)
	case 4:
		return hang(ctx, execute)
	}
	return execute(), nil
}

func (c *chaos) run(t *testing.T) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() { c.caller(t, i) })
	}
	wg.Wait()
	for _, p := range c.nodes {
		p.node.repair()
	}
	time.Sleep(20 * time.Second)
	assert.Zero(t, c.overlaps.Load(), "two handlers at once")
	answers := 0
	c.answers.Range(func(any, any) bool { answers++; return true })
	assert.LessOrEqual(t, answers, 1)
	_, rec := c.backend.only(t)
	assert.NotEqual(t, store.Running, rec.State, "left running")
	if !c.unsure.Load() {
		assert.NotEqual(t, store.Unknown, rec.State, "every handler said what happened")
	}
}

func (c *chaos) caller(t *testing.T, i int) {
	t.Helper()
	op := c.nodes[c.draw(3)].operation(t, waits(5*time.Second))
	hold, kind := c.within(1500*time.Millisecond), c.draw(10)
	time.Sleep(c.within(12 * time.Second))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if c.draw(3) == 0 {
		time.AfterFunc(c.within(4*time.Second), cancel)
	}
	began, ran := time.Now(), time.Duration(0)
	result, err := op.Execute(ctx, call("k"), func(hctx context.Context) idempotency.Answer {
		if c.active.Add(1) > 1 {
			c.overlaps.Add(1)
		}
		defer c.active.Add(-1)
		time.Sleep(hold)
		ran = hold
		if hctx.Err() != nil {
			c.unsure.Store(true)
		}
		if kind == 0 {
			return recorded(fmt.Sprint(i))
		}
		return answer(idempotency.ClassRelease, "503")
	})
	assert.LessOrEqual(t, time.Since(began)-ran, 5*time.Second+510*time.Millisecond, "%v", err)
	if err == nil && result.Recorded {
		c.answers.Store(string(result.Answer.Body), true)
	}
}

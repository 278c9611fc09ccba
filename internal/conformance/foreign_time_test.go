package conformance_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/reprise-go/reprise/internal/testpb"
)

// unlikely is how many standard deviations a sign test may be off. By chance it is
// further off once in two million times.
const unlikely = 5

// TestA2_F70_ForeignKeyTakesAsLongAsAnUnusedOne is not parallel, so that its clocks
// run for this library and not for its neighbours.
//
// Each round asks for a key that another caller has used and for two that nobody
// has, in an order drawn anew, and compares them with each other: whatever slows the
// machine down for a while slows all three. If who comes first is chance, foreign is
// slower than unused as often as not, and as often as one unused key is slower than
// the other, which is measured as well.
func TestA2_F70_ForeignKeyTakesAsLongAsAnUnusedOne(t *testing.T) {
	transports := map[string]func(t *testing.T) func(caller, key string){"HTTP": askHTTP, "gRPC": askGRPC}
	for name, open := range transports {
		t.Run(name, func(t *testing.T) {
			ask := open(t)
			r := race(t, ask, foreignSamples, 0)
			t.Logf("medians of %d: foreign %v, unused %v and %v; off by %.1f, the control by %.1f standard deviations",
				foreignSamples, r.median(0), r.median(1), r.median(2), r.off(0, 1), r.off(2, 1))
			assert.Less(t, math.Abs(r.off(0, 1)), float64(unlikely), "a foreign key is told from an unused one")
			assert.Less(t, math.Abs(r.off(2, 1)), float64(unlikely), "this machine cannot measure it")

			leaking := race(t, ask, 240, r.median(1)/2)
			assert.Greater(t, leaking.off(0, 1), float64(unlikely), "a leak of half a request would show")
		})
	}
}

func askHTTP(t *testing.T) func(caller, key string) {
	t.Helper()
	l := newService(t, setup{}).over(t, http1)
	return func(caller, key string) {
		requireExecuted(t, l.ask(t, call{key: key, tenant: caller, body: "B"}))
	}
}

func askGRPC(t *testing.T) func(caller, key string) {
	t.Helper()
	s := newGRPC(t, grpcSetup{create: func(context.Context, *testpb.Order) (*testpb.Receipt, error) {
		return &testpb.Receipt{Id: "answer"}, nil
	}})
	return func(caller, key string) {
		requireCode(t, s.create(t.Context(), key, &testpb.Order{Amount: 1}, "x-tenant", caller), codes.OK)
	}
}

// rounds are how long each of three took, round by round.
type rounds [3][]time.Duration

// race measures how long the second caller's first use of a key takes: 0, one that
// the first caller has used; 1 and 2, ones that nobody has. A leak is time spent on
// the first of them only.
func race(t *testing.T, ask func(caller, key string), samples int, leak time.Duration) (r rounds) {
	t.Helper()
	used := make(chan string, samples)
	var first sync.WaitGroup
	for range 8 {
		first.Go(func() {
			for range samples / 8 {
				key := newKey()
				ask("one", key)
				used <- key
			}
		})
	}
	first.Wait()
	require.Len(t, used, samples)
	for range samples {
		keys := [3]string{<-used, newKey(), newKey()}
		for _, who := range rand.Perm(len(r)) {
			began := time.Now()
			ask("two", keys[who])
			took := time.Since(began)
			if who == 0 {
				took += leak
			}
			r[who] = append(r[who], took)
		}
	}
	return r
}

func (r rounds) median(who int) time.Duration {
	return slices.Sorted(slices.Values(r[who]))[len(r[who])/2]
}

// off returns by how many standard deviations one was more often slower than the
// other than by chance.
func (r rounds) off(one, other int) float64 {
	slower, unequal := 0, 0
	for i := range r[one] {
		switch {
		case r[one][i] > r[other][i]:
			slower, unequal = slower+1, unequal+1
		case r[one][i] < r[other][i]:
			slower, unequal = slower-1, unequal+1
		}
	}
	return float64(slower) / math.Sqrt(float64(max(unequal, 1)))
}

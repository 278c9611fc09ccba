package bubble

import (
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// dice is one actor's source of chance. Each actor has its own, named by what it
// is and not by when it came, so that actors which run at the same moment do not
// change each other's luck with their order.
type dice struct{ *rand.Rand }

func newDice(seed uint64, actor string, numbers ...int) dice {
	h := fnv.New64a()
	_, _ = h.Write([]byte(actor))
	for _, n := range numbers {
		_, _ = h.Write([]byte{byte(n), byte(n >> 8), 0xff})
	}
	return dice{rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// between draws a duration, to the nanosecond, so that no two timers end at once.
func (d dice) between(least, most time.Duration) time.Duration {
	return least + 1 + time.Duration(d.Int64N(max(int64(most-least), 1)))
}

func (d dice) chance(p float64) bool { return d.Float64() < p }

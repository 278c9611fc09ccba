package chaos

import (
	"math/rand/v2"
	"time"
)

// dice is one actor's source of chance. Not for concurrent use: each actor has
// its own.
type dice struct{ *rand.Rand }

// The actors.
const (
	orderDice = iota + 1
	clientDice
	auditDice
	laneDice
	strokeDice
	lineDice
)

func newDice(seed, actor, number uint64) dice {
	return dice{rand.New(rand.NewPCG(seed, actor<<56|number))}
}

func (d dice) between(least, most time.Duration) time.Duration {
	return least + time.Duration(d.Int64N(int64(most-least)+1))
}

func (d dice) chance(p float64) bool { return d.Float64() < p }

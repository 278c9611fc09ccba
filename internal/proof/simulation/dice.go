package simulation

import (
	"math/rand/v2"
	"time"
)

// dice is one actor's source of chance. Each actor has its own, named by what
// it is and not by when it came, so that actors which happen to run at the same
// nanosecond do not change each other's luck with their order.
type dice struct{ *rand.Rand }

// The actors.
const (
	planDice = iota + 1
	clientDice
	callDice
	scriptDice
	eventDice
	watchDice
)

func newDice(seed uint64, actor, number uint64) dice {
	return dice{rand.New(rand.NewPCG(seed, actor<<56|number))}
}

// between draws a duration, to the nanosecond, and never 0.
func (d dice) between(least, most time.Duration) time.Duration {
	return least + 1 + time.Duration(d.Int64N(int64(most-least)))
}

func (d dice) chance(p float64) bool { return d.Float64() < p }

// moment is the time that a goroutine takes to wake up.
func (d dice) moment() time.Duration { return d.between(0, 200*time.Microsecond) }

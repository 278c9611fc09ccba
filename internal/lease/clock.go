package lease

import "time"

// clock reads the monotonic clock, and the wall clock next to it for the sole
// purpose of comparing the two.
type clock struct {
	base time.Time
	// wall returns the wall-clock part of a reading in nanoseconds. Tests
	// replace it.
	wall func(time.Time) int64
}

// reading is one moment: monotonic time since the clock's base, and by how much
// the wall clock is ahead of that. The skew stays as it is while both clocks
// run; it changes when one of them is set or stood still.
type reading struct {
	mono time.Duration
	skew time.Duration
}

func newClock() clock {
	return clock{base: time.Now(), wall: time.Time.UnixNano}
}

func (c *clock) now() reading { return c.at(time.Now()) }

func (c *clock) at(t time.Time) reading {
	mono := t.Sub(c.base)
	return reading{mono: mono, skew: time.Duration(c.wall(t)) - mono}
}

func (c *clock) time(mono time.Duration) time.Time { return c.base.Add(mono) }

// jumped reports whether the skews of two readings differ by more than allowed.
func jumped(a, b, allowed time.Duration) bool { return (a - b).Abs() > allowed }

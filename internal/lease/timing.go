package lease

import "time"

// How long before its end a lease is no longer relied on, as parts of its
// length: together a lease of 30 s counts for 28.2 s from the moment before
// its last confirmation was sent.
const (
	// Drift is one part in so many: how much faster than ours the backend's
	// clock may run.
	Drift = 100
	// Grace is one part in so many: time for whoever holds the lease to hear of
	// its loss and stop. It is also how long a renewal after a clock jump may
	// take, and how large a jump is borne without one.
	Grace = 20
)

const (
	// tick is the longest sleep of the loop while leases are watched, so that a
	// jump of the clock is noticed within it.
	tick = time.Second
	// jumpNoise is the smallest change between wall and monotonic clock that
	// makes the loop look at every lease.
	jumpNoise = time.Millisecond
	// maxStuck bounds the goroutines when calls ignore their context, as a
	// multiple of the calls side by side.
	maxStuck = 8
	// maxFails is where the failure count stops: the backoff has long reached
	// its ceiling.
	maxFails = 10
)

// margin is what is taken off a lease.
func margin(lease time.Duration) time.Duration { return lease/Drift + lease/Grace }

func grace(lease time.Duration) time.Duration { return lease / Grace }

// interval is the earliest renewal after a confirmation.
func interval(lease time.Duration) time.Duration { return lease / 3 }

// renewalDelay is when a confirmed lease is due again: an interval and 5 to
// 15 % of it. The addition leaves room to be taken along by a neighbour's batch
// without ever being early, and keeps processes that started together apart.
// Spread is from 0 to 1.
func renewalDelay(lease time.Duration, spread float64) time.Duration {
	third := interval(lease)
	return third + third/20 + time.Duration(spread*float64(third/10))
}

// retryDelay is the pause after the given number of failures in a row: none
// after the first, then a 60th of the lease, doubling up to a tenth. Spread,
// from 0 to 1, moves it by up to a quarter; leases that failed in one call share
// it, so that they meet again in one batch.
func retryDelay(lease time.Duration, fails uint8, spread float64) time.Duration {
	if fails <= 1 {
		return 0
	}
	delay := min(lease/60<<(fails-2), lease/10)
	return delay*3/4 + time.Duration(spread*float64(delay/2))
}

// retrySlack is how much too early a retry may be taken along by a neighbour.
func retrySlack(lease time.Duration) time.Duration { return lease / 120 }

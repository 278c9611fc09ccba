package simulation

import "time"

// fate is what becomes of one call to the store.
type fate struct {
	kind  Kind // or unharmed
	out   time.Duration
	back  time.Duration
	extra time.Duration // what the kind says
	quick bool          // a loss is heard of as a reset, not as silence
}

const unharmed = Kind(255)

// faults are the kinds that befall a call, by weight.
var faults = [...]struct { //nolint:gochecknoglobals // a constant table
	kind   Kind
	weight int
}{
	{LostRequest, 10},
	{LostReply, 20},
	{LatePacket, 18},
	{RepeatedNow, 12},
	{RepeatedLate, 10},
	{SlowReply, 6},
	{StallBeforeSend, 6},
	{StallAfterReply, 8},
	{CrashBeforeSend, 3},
	{CrashAfterExecution, 7},
}

const faultWeight = 100

func (w *world) drawFate() fate {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := fate{
		kind: unharmed,
		out:  time.Duration(50_000 + w.rng.Int64N(2_000_000)),
		back: time.Duration(50_000 + w.rng.Int64N(2_000_000)),
	}
	if w.calm || w.rng.Float64() >= w.plan.intensity {
		return f
	}
	n := w.rng.IntN(faultWeight)
	for _, fault := range faults {
		if n < fault.weight {
			f.kind = fault.kind
			break
		}
		n -= fault.weight
	}
	f.quick = w.rng.IntN(2) == 0
	f.extra = w.drawExtra(f.kind)
	if f.kind == LatePacket {
		f.out = f.extra
	}
	if f.kind == SlowReply {
		f.back = f.extra
	}
	return f
}

func (w *world) drawExtra(kind Kind) time.Duration {
	random := func(least, most time.Duration) time.Duration {
		return least + time.Duration(w.rng.Int64N(int64(most-least)))
	}
	switch kind {
	case LatePacket:
		return random(w.plan.storeTimeout, w.plan.storeTimeout+3*w.plan.lease)
	case SlowReply:
		return random(w.plan.storeTimeout/2, 2*w.plan.storeTimeout)
	case RepeatedNow:
		return random(time.Millisecond, 9*time.Millisecond) // go-redis waits 8 ms
	case RepeatedLate:
		return random(time.Millisecond, 3*w.plan.lease)
	case StallBeforeSend, StallAfterReply:
		return random(w.plan.lease/4, 5*w.plan.lease/2)
	}
	return 0
}

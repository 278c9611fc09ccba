package simulation

import (
	"time"

	"github.com/reprise-go/reprise/store"
)

// fate is what becomes of one call to the store.
type fate struct {
	dice  dice
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
	{LostRequest, 8},
	{LostReply, 20},
	{LatePacket, 18},
	{RepeatedNow, 12},
	{RepeatedLate, 10},
	{NotExecuted, 4},
	{SlowReply, 4},
	{StallBeforeSend, 6},
	{StallAfterReply, 8},
	{CrashBeforeSend, 3},
	{CrashAfterExecution, 7},
}

const faultWeight = 100

// drawFate draws what becomes of a call, for the n-th time that an owner sends
// this event.
func (w *world) drawFate(owner store.Owner, event string) fate {
	w.mu.Lock()
	defer w.mu.Unlock()
	rng := w.callDice(owner, event)
	f := fate{
		dice: rng,
		kind: unharmed,
		out:  rng.between(50*time.Microsecond, 2*time.Millisecond),
		back: rng.between(50*time.Microsecond, 2*time.Millisecond),
	}
	if w.calm || !rng.chance(w.plan.intensity) {
		return f
	}
	n := rng.IntN(faultWeight)
	for _, fault := range faults {
		if n < fault.weight {
			f.kind = fault.kind
			break
		}
		n -= fault.weight
	}
	f.quick = rng.IntN(2) == 0
	f.extra = w.drawExtra(rng, f.kind)
	if f.kind == LatePacket {
		f.out = f.extra
	}
	if f.kind == SlowReply {
		f.back = f.extra
	}
	return f
}

// callDice are those of one call. The world is locked.
func (w *world) callDice(owner store.Owner, event string) dice {
	call := sending{w.judge.owner(owner), event}
	w.sent[call]++
	number := uint64(call.owner)<<24 | uint64(event[0])<<16 | uint64(event[2])<<8 | uint64(w.sent[call])
	return newDice(w.seed, callDice, number)
}

// sending is an event that an owner sends, now and again.
type sending struct {
	owner int
	event string
}

func (w *world) drawExtra(rng dice, kind Kind) time.Duration {
	switch kind {
	case LatePacket:
		return rng.between(w.plan.storeTimeout, w.plan.storeTimeout+3*w.plan.lease)
	case SlowReply:
		return rng.between(w.plan.storeTimeout/2, 2*w.plan.storeTimeout)
	case RepeatedNow:
		return rng.between(time.Millisecond, 9*time.Millisecond) // go-redis waits 8 ms
	case RepeatedLate:
		return rng.between(time.Millisecond, 3*w.plan.lease)
	case StallBeforeSend, StallAfterReply:
		return rng.between(w.plan.lease/4, 5*w.plan.lease/2)
	}
	return 0
}

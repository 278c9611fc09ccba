package bubble

import "time"

// fate is what becomes of one packet.
type fate struct {
	dice
	kind  Kind // or unharmed
	out   time.Duration
	back  time.Duration
	extra time.Duration // what the kind says
	reset bool          // a loss is heard of by a broken connection
	split bool          // others come between the commands of a pipeline
}

const unharmed = Kind(255)

// faults are the kinds that befall a packet, by weight.
var faults = [...]struct { //nolint:gochecknoglobals // a constant table
	kind   Kind
	weight int
}{
	{LostRequest, 8},
	{LostReply, 16},
	{LateRequest, 13},
	{LateReply, 8},
	{SwappedReply, 28},
	{CutReply, 8},
	{StallBeforeSend, 6},
	{StallAfterExecution, 6},
	{CrashBeforeSend, 3},
	{CrashAfterExecution, 4},
}

const faultWeight = 100

// drawFate draws what becomes of a packet, for the n-th time that a process sends
// this command.
func (p *process) drawFate(pk *packet) fate {
	w := p.world
	rng := newDice(w.seed, "packet "+pk.name(), p.number, p.sent(pk.name()))
	f := fate{
		dice:  rng,
		kind:  unharmed,
		out:   rng.between(50*time.Microsecond, 2*time.Millisecond),
		back:  rng.between(50*time.Microsecond, 2*time.Millisecond),
		reset: rng.IntN(2) == 0,
		split: rng.IntN(4) == 0,
	}
	if w.isCalm() || !rng.chance(w.plan.intensity) {
		return f
	}
	f.kind = drawFault(rng)
	switch f.kind {
	case LateRequest:
		f.out = rng.between(w.plan.storeTimeout, w.plan.storeTimeout+3*w.plan.lease)
	case LateReply:
		f.back = rng.between(w.plan.storeTimeout/2, 2*w.plan.storeTimeout)
	case SwappedReply:
		f.extra = rng.between(w.plan.storeTimeout/4, w.plan.storeTimeout)
	case StallBeforeSend, StallAfterExecution:
		f.extra = rng.between(w.plan.lease/4, 5*w.plan.lease/2)
	}
	return f
}

func drawFault(rng dice) Kind {
	n := rng.IntN(faultWeight)
	for _, fault := range faults {
		if n < fault.weight {
			return fault.kind
		}
		n -= fault.weight
	}
	return unharmed
}

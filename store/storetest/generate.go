package storetest

import (
	"math/rand/v2"
	"time"

	"github.com/reprise-go/reprise/store"
)

// op is a step of a random sequence. It is symbolic, so that a sequence still
// means something when a step before it is left out: the event is made when it
// is sent, from what its owner has learned by then.
type op struct {
	kind       opKind
	who        int
	a, b, c, d uint8
}

type opKind uint8

const (
	opClaim opKind = iota
	opRenew
	opMark
	opComplete
	opFail
	opRelease
	opSettle
	opAdvance
	opForget
)

// generate draws n steps. Claims are frequent, since only they lead on from an
// ended attempt.
func generate(rng *rand.Rand, n int) []op {
	deck := []opKind{
		opClaim, opClaim, opClaim, opClaim, opClaim, opClaim, opRenew, opRenew, opMark,
		opComplete, opFail, opFail, opRelease, opRelease, opSettle, opSettle,
		opAdvance, opAdvance, opForget,
	}
	ops := make([]op, n)
	for i := range ops {
		ops[i] = op{
			kind: deck[rng.IntN(len(deck))],
			who:  rng.IntN(3),
			a:    uint8(rng.Uint32()),
			b:    uint8(rng.Uint32()),
			c:    uint8(rng.Uint32()),
			d:    uint8(rng.Uint32()),
		}
	}
	return ops
}

// pick chooses one of the values by a random byte.
func pick[T any](by uint8, values ...T) T { return values[int(by)%len(values)] }

// pause returns how long an advance takes. Hours pass only where that is free.
func (o op) pause(free bool) time.Duration {
	if !free {
		return pick(o.a, time.Millisecond, short/2, short+20*time.Millisecond)
	}
	return pick(o.a, time.Millisecond, short/2, short+20*time.Millisecond, short+2*slack,
		store.TombstoneTTL+time.Second, keep+time.Second, 25*time.Hour, 49*time.Hour)
}

// event makes the event of the step, or nil for a step that sends none.
func (o op) event(w *walk) store.Event {
	who := w.who[o.who]
	who.lease = pick(o.a, long, long, short, 2*long)
	who.retention = pick(o.b, keep, keep, keep, short, 48*time.Hour)
	attempt, adoption := who.attempt(), o.adoption(w)
	switch o.kind {
	case opClaim:
		return o.claim(who)
	case opRenew:
		return store.Renew{Owner: who.owner, Lease: who.lease, Retention: who.retention}
	case opMark:
		return store.Mark{Owner: who.owner}
	case opComplete:
		return store.Complete{Attempt: attempt, Adoption: adoption, Answer: o.answer()}
	case opFail:
		return store.Fail{
			Attempt:  attempt,
			Adoption: adoption,
			Marked:   o.c%4 == 0,
			Backoff:  pick(o.d, 0, 0, short, long),
		}
	case opRelease:
		return store.Release{Attempt: attempt, Void: o.c%2 == 0}
	case opSettle:
		return o.settle(w)
	case opAdvance, opForget:
	}
	return nil
}

func (o op) claim(who *caller) store.Event {
	claim := who.claim()
	claim.TakeOver = pick(o.c, store.TakeOverNever, store.TakeOverUnmarked, store.TakeOverAlways)
	claim.Wait = o.d%4 == 0
	switch o.d % 16 {
	case 1:
		claim.Fingerprint = fingerprint('2')
	case 2:
		claim.Fingerprint.Algorithm = "newer-9"
	}
	return claim
}

// adoption is one that the owner might send: of its last claim, of a fresh
// confirmation, or of none.
func (o op) adoption(w *walk) store.Adoption {
	confirmed := pick(o.c, w.who[o.who].confirmed, w.clock.earliest, 0)
	return store.Adoption{Confirmed: confirmed, Within: pick(o.d, keep, short, 48*time.Hour)}
}

func (o op) answer() store.Answer {
	switch o.c % 4 {
	case 0:
		return store.Answer{Codec: "bin", Omitted: store.BodySecret}
	case 1:
		return store.Answer{Codec: "bin", Meta: patterned(100), Body: patterned(4*kib + int(o.d))}
	}
	return store.Answer{Codec: "bin", Meta: []byte{o.c}, Body: []byte{o.c, o.d}}
}

func (o op) settle(w *walk) store.Event {
	event := store.Settle{
		// Deciders are few, so that a settlement is sometimes a repeated one.
		Owner:     store.Owner{1 + o.a%2},
		Token:     w.models[0].Token + pick[store.Token](o.c, 0, 0, 0, 1, -1),
		Retention: w.who[o.who].retention,
		Running:   o.d%2 == 0,
	}
	if o.d%4 < 2 {
		answer := o.answer()
		event.Answer = &answer
	} else {
		event.Erase = o.d%8 < 4
	}
	return event
}

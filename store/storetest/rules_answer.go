package storetest

import (
	"bytes"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/store"
)

const kib = 1 << 10

func answerRules() []rule {
	return []rule{
		{
			name:  "answer/every byte",
			rule:  "codec, meta and body are given back byte for byte, by replay and by lookup: all 256 values, empty ones, quotes and line ends",
			why:   "a replay is the same answer, not a similar one",
			check: answerBytes,
		},
		{
			name:  "answer/sizes",
			rule:  "bodies and meta of any size up to 1 MiB are given back whole, also around 4 KiB",
			why:   "large bodies often take another way into a store; a truncated one must never be replayed",
			check: answerSizes,
		},
		{
			name:  "answer/omitted",
			rule:  "the reason why a body was left out is kept, with the meta",
			why:   "the duplicate is told that the result is unavailable instead of being given an empty one",
			check: answerOmitted,
		},
		{
			name:  "answer/slices are the caller's",
			rule:  "overwriting an answer after it was handed in, or after it was given out, changes no record",
			why:   "buffers are pooled; one caller's bytes would show up in another's answer",
			check: answerSlices,
		},
	}
}

func answerBytes(c *check) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for name, want := range map[string]store.Answer{
		"all bytes":    {Codec: "bin", Meta: all, Body: bytes.Repeat(all, 3)},
		"empty body":   {Codec: "bin", Meta: []byte("204"), Body: []byte{}},
		"nothing":      {Codec: "b"},
		"body alone":   {Codec: "12345678", Body: []byte("\x00")},
		"line ends":    {Codec: "!~", Meta: []byte("a\r\nb\r\n\r\n"), Body: []byte("$-1\r\n+OK\r\n*0\r\n\n")},
		"looks nested": {Codec: "bin", Meta: []byte("\x00\x00\x00\x05"), Body: []byte("\xff\xff\xff\xff\"}]")},
	} {
		c.fresh(name)
		c.roundTrip(want)
	}
}

// roundTrip completes a fresh record and compares what is given back.
func (c *check) roundTrip(want store.Answer) {
	owner := running(c)
	c.expect(owner.name, owner.complete(want), store.Done)
	c.given(want)
}

// given compares the answer of a replay and of a lookup with the wanted one.
func (c *check) given(want store.Answer) {
	want = plainAnswer(want)
	replayed := plainAnswer(c.caller("duplicate").claims(store.Recorded).Answer)
	if diff := diffAnswers(replayed, want); diff != "" {
		c.errorf("the replayed answer: %s", diff)
	}
	if diff := diffAnswers(c.record().Answer, want); diff != "" {
		c.errorf("the answer looked up: %s", diff)
	}
}

func diffAnswers(got, want store.Answer) string {
	if len(got.Body) != len(want.Body) {
		return fmt.Sprintf("Body has %d bytes, want %d", len(got.Body), len(want.Body))
	}
	return diffFields(got, want)
}

// patterned returns n bytes of which no two stretches are alike.
func patterned(n int) []byte {
	out := make([]byte, n)
	x := uint32(n) + 1
	for i := range out {
		x = x*1664525 + 1013904223
		out[i] = byte(x >> 24)
	}
	return out
}

func answerSizes(c *check) {
	sizes := []int{1, 4*kib - 64, 4*kib - 1, 4 * kib, 4*kib + 1, 5 * kib, 64 * kib, 1 << 20}
	for _, n := range sizes {
		c.fresh(fmt.Sprintf("a body of %d bytes", n))
		c.roundTrip(store.Answer{Codec: "bin", Meta: []byte("200"), Body: patterned(n)})
		c.fresh(fmt.Sprintf("meta of %d bytes", n))
		c.roundTrip(store.Answer{Codec: "bin", Meta: patterned(n), Body: []byte("small")})
	}
}

func answerOmitted(c *check) {
	for _, why := range []store.Omission{store.BodyTooLarge, store.BodySecret, store.BodyStreamed} {
		c.fresh("a body that was " + why.String())
		c.roundTrip(store.Answer{Codec: "http1", Meta: []byte("201"), Omitted: why})
	}
}

func answerSlices(c *check) {
	want := store.Answer{Codec: "bin", Meta: []byte("meta"), Body: []byte("body")}
	handed := store.Answer{Codec: "bin", Meta: bytes.Clone(want.Meta), Body: bytes.Clone(want.Body)}
	owner := running(c)
	c.expect(owner.name, owner.complete(handed), store.Done)
	scribble(handed)
	c.given(want)
	scribble(c.caller("duplicate").claims(store.Recorded).Answer)
	c.given(want)
	scribble(c.record().Answer)
	c.given(want)

	c.fresh("settled")
	owner = failed(c)
	handed = store.Answer{Codec: "bin", Meta: bytes.Clone(want.Meta), Body: bytes.Clone(want.Body)}
	c.expect("decider", settle(owner.token, &handed), store.Done)
	scribble(handed)
	c.given(want)
}

func scribble(a store.Answer) {
	clear(a.Meta)
	clear(a.Body)
}

func largeAnswerRules() []rule {
	return []rule{
		{
			name:  "large answer/accepted",
			rule:  "a large completion is accepted wherever a small one is: running, lapsed, unknown, absent within the window, settled; it may be repeated and keeps its retention",
			why:   "large bodies often take another way into a store, and that way has to ask the same questions",
			check: largeAccepted,
		},
		{
			name:  "large answer/refused",
			rule:  "a large completion is refused wherever a small one is, and changes nothing",
			why:   "as before; this is where a deposed owner's body would slip in",
			check: largeRefused,
		},
	}
}

func largeAnswer(seed int) store.Answer {
	return store.Answer{Codec: "bin", Meta: []byte("200"), Body: patterned(32*kib + seed)}
}

func largeAccepted(c *check) {
	own := []situation{
		{"running", running},
		{"running and lapsed", lapsed},
		{"unknown by fail", failed},
		{"absent", func(c *check) *caller { return c.unclaimed("owner") }},
		{"void", func(c *check) *caller {
			voidRecords()[0].create(c)
			return c.unclaimed("earlier")
		}},
	}
	c.each(own, func(owner *caller) {
		owner.retention = 2 * time.Hour
		reply := c.expect(owner.name, owner.complete(largeAnswer(1)), store.Done)
		c.given(largeAnswer(1))
		c.expires(reply.Now.Add(2 * time.Hour))
		c.unchanged(func() { c.expect(owner.name, owner.complete(largeAnswer(2)), store.Done) })
	})
	c.each(unknowns(), func(owner *caller) {
		verdict := largeAnswer(3)
		event := settle(owner.token, &verdict)
		event.Retention = 48 * time.Hour
		reply := c.expect("decider", event, store.Done)
		c.given(verdict)
		c.expires(reply.Now.Add(48 * time.Hour))
		c.unchanged(func() { c.expect("decider", event, store.Done) })
	})
}

func largeRefused(c *check) {
	c.each(existing(), func(owner *caller) {
		other := c.unclaimed("stranger")
		verdict := largeAnswer(4)
		c.unchanged(func() {
			c.expect(other.name, other.complete(largeAnswer(4)), store.Refused)
			c.expect("decider", settle(owner.token-1, &verdict), store.Refused)
		})
	})
	c.each([]situation{{"released", released}, {"a tombstone", tombstoned}}, func(owner *caller) {
		owner.confirmed = c.now()
		c.unchanged(func() { c.expect(owner.name, owner.complete(largeAnswer(5)), store.Refused) })
	})
	c.fresh("on an absent record outside the window")
	late := c.unclaimed("late")
	late.confirmed, late.within = late.confirmed.Add(-keep), long
	c.expect(late.name, late.complete(largeAnswer(6)), store.Refused)
	c.inState(store.Absent)
}

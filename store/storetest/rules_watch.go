package storetest

import (
	"fmt"

	"github.com/reprise-go/reprise/store"
)

func watchRules() []rule {
	return []rule{
		{
			name:  "watch/first signal",
			rule:  "a watch of any record, also of one that is not there, is signalled once although nothing happens; its channel holds one signal",
			why:   "it is how a waiter knows that it may claim now: what ends from here on is told",
			needs: notifies,
			check: watchFirst,
		},
		{
			name:  "watch/completion",
			rule:  "a completion of an attempt on which somebody waits is told, whatever the answer's size, also after the lease has lapsed",
			why:   "the duplicates could have their answer now and would wait for their next look instead",
			needs: notifies,
			check: func(c *check) { c.told(completions()) },
		},
		{
			name:  "watch/fail",
			rule:  "a fail of an attempt on which somebody waits is told",
			why:   "waiting longer is in vain",
			needs: notifies,
			check: func(c *check) { c.told(failures()) },
		},
		{
			name:  "watch/release",
			rule:  "a release of an attempt on which somebody waits is told, a void one as well",
			why:   "one of the waiters is to take over, now and not when its patience is at an end",
			needs: notifies,
			check: func(c *check) { c.told(releases()) },
		},
		{
			name:  "watch/settlement",
			rule:  "a settlement of an attempt on which somebody waits is told, with an answer and without",
			why:   "the waiters were waiting for just that",
			needs: notifies,
			check: func(c *check) { c.told(settlements()) },
		},
		{
			name:  "watch/take-over",
			rule:  "a take-over of an attempt on which somebody waits is told",
			why:   "the new attempt does not know of them: they have to ask again to be told of its end",
			needs: notifies,
			check: func(c *check) { c.told(takeOvers()) },
		},
		{
			name:  "watch/every attempt",
			rule:  "one watch is told of the end of every attempt that is waited for, not only of the first",
			why:   "an attempt that was released is followed by another, and the waiter stays",
			needs: notifies,
			check: watchEvery,
		},
		{
			name:  "watch/from the first signal on",
			rule:  "an end that comes after the first signal is told to that watch, whoever asked for the notification",
			why:   "the first signal promises it; what falls between signal and claim would be lost",
			needs: notifies,
			check: watchFromFirst,
		},
		{
			name:  "watch/no end is missed",
			rule:  "of a claim with Wait and the end of the attempt at the same time, either the claim sees the end or the watch is told of it",
			why:   "a waiter that was told to wait would not be told to go on",
			needs: notifies,
			check: watchRace,
		},
	}
}

func watchFirst(c *check) {
	all := append([]situation{{"absent", func(c *check) *caller { return c.caller("nobody") }}}, existing()...)
	c.each(all, func(*caller) {
		l := c.listening("watcher")
		signals := l.watch.Signals()
		c.is("the number of signals that the channel holds", cap(signals), 1)
		c.is("the channel of the same watch", l.watch.Signals(), signals)
	})
}

// end is one way in which an attempt ends.
type end struct {
	name   string
	create func(c *check) *caller
	do     func(c *check, owner *caller)
}

// told lets attempts end on which somebody waits.
func (c *check) told(ends []end) {
	for _, e := range ends {
		c.fresh(e.name)
		owner := e.create(c)
		waiter := c.waiter("waiter")
		e.do(c, owner)
		waiter.hears(e.name)
	}
}

// late lets the owner's lease lapse, without hurry for what came before.
func late(do func(*check, *caller)) func(*check, *caller) {
	return func(c *check, owner *caller) {
		owner.lease = short
		owner.renews(store.Done)
		c.lapse()
		do(c, owner)
	}
}

func completions() []end {
	small := func(_ *check, owner *caller) { owner.completes(store.Done, "first") }
	large := func(c *check, owner *caller) { c.expect(owner.name, owner.complete(largeAnswer(9)), store.Done) }
	return []end{
		{"a completion", running, small},
		{"a large completion", running, large},
		{"a late completion", running, late(small)},
		{"a large late completion", running, late(large)},
	}
}

func failures() []end {
	fail := func(_ *check, owner *caller) { owner.fails(store.Done) }
	return []end{{"a fail", running, fail}, {"a late fail", running, late(fail)}}
}

func releases() []end {
	release := func(_ *check, owner *caller) { owner.releases(store.Done) }
	void := func(_ *check, owner *caller) { owner.voids(store.Done) }
	return []end{
		{"a release", running, release},
		{"a late release", running, late(release)},
		{"a void release", running, void},
		{"a void release of a take-over", func(c *check) *caller {
			failed(c)
			next := c.stranger()
			next.claims(store.Claimed)
			return next
		}, void},
	}
}

func settlements() []end {
	small, large := answer("settled"), largeAnswer(10)
	settled := func(a *store.Answer) func(*check, *caller) {
		return func(c *check, owner *caller) {
			event := settle(owner.token, a)
			event.Running = true
			c.expect("decider", event, store.Done)
		}
	}
	return []end{
		{"a settlement with an answer", running, settled(&small)},
		{"a settlement with a large answer", running, settled(&large)},
		{"a settlement without an answer", running, settled(nil)},
		{"a settlement of an orphan with an answer", running, late(settled(&small))},
		{"a settlement of an orphan without an answer", running, late(settled(nil))},
	}
}

func takeOvers() []end {
	return []end{{"a take-over", running, late(func(c *check, _ *caller) { c.stranger().claims(store.Claimed) })}}
}

func watchEvery(c *check) {
	l := c.listening("waiter")
	for i, end := range []func(*caller){
		func(a *caller) { a.releases(store.Done) },
		func(a *caller) { a.fails(store.Done) },
		func(a *caller) { a.voids(store.Done) },
		func(a *caller) { a.releases(store.Done) },
		func(a *caller) { a.completes(store.Done, "at last") },
	} {
		owner := c.stranger()
		owner.claims(store.Claimed)
		l.claims()
		end(owner)
		l.hears(fmt.Sprintf("the end of attempt %d", i+1))
	}
}

func watchFromFirst(c *check) {
	for range rounds {
		c.fresh("")
		owner := running(c)
		early := c.waiter("early waiter")
		late := c.listening("late waiter")
		owner.completes(store.Done, "first")
		late.hears("the completion right after its first signal")
		early.hears("the completion")
	}
}

func watchRace(c *check) {
	for round := range rounds {
		c.fresh("")
		owner, l := running(c), c.listening("waiter")
		l.drop()
		claim := c.caller("waiter").claim()
		claim.Wait = true
		events := []store.Event{claim, owner.complete(answer("first"))}
		replies, errs := make([]store.Reply, 2), make([]error, 2)
		together(2, func(i int) {
			i = (i + round) % 2 // who is woken first differs
			replies[i], errs[i] = c.h.Store.Apply(c.ctx, c.id, events[i])
		})
		for i, err := range errs {
			c.note("%s -> %s", events[i].Name(), outcome(replies[i], err))
			if err != nil {
				c.fatalf("%s: %v", events[i].Name(), err)
			}
		}
		if replies[0].Verdict == store.InProgress {
			l.hears("the completion at the same time")
		}
	}
}

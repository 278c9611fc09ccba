package storetest_test

import (
	"time"

	"github.com/reprise-go/reprise/store"
)

func endFaults() []fault {
	return append(completeFaults(), restOfEndFaults()...)
}

func completeFaults() []fault {
	return []fault{
		{"complete needs a living lease", after(func(o outcome[store.Complete]) {
			if o.before.State == store.Running && o.before.Lapsed(o.now) {
				*o.next = o.before
				o.reply.Verdict = store.Refused
			}
		}), []string{"complete/own running", "large answer/accepted"}},
		{"complete after fail is refused", after(func(o outcome[store.Complete]) {
			if o.before.State == store.Unknown {
				*o.next = o.before
				o.reply.Verdict = store.Refused
			}
		}), []string{"complete/own unknown"}},
		{"complete again overwrites", before(func(rec *store.Record, _ store.Complete) {
			if rec.State == store.Completed {
				rec.State = store.Running
			}
		}), []string{"complete/twice", "large answer/accepted"}},
		{"complete accepted on released", before(func(rec *store.Record, _ store.Complete) {
			if rec.State == store.Released {
				rec.State = store.Running
			}
		}), []string{"complete/released", "large answer/refused"}},
		{"complete drops the mark", after(func(o outcome[store.Complete]) { o.next.Marked = false }),
			[]string{"complete/fields"}},
		{"complete keeps the running ttl", after(func(o outcome[store.Complete]) {
			if o.before.State == store.Running {
				o.next.Expires = o.before.Expires
			}
		}), []string{"ttl/finished", "ttl/short retention", "complete/fields", "ttl/hours"}},
		{"adoption without bound", asking(func(ev *store.Complete, _ store.Record, now store.Instant) {
			ev.Adoption = store.Adoption{Confirmed: now, Within: time.Hour}
		}), []string{"adoption/only within the window", "adoption/over a void record only within the window", "large answer/refused"}},
		{"no adoption", asking(func(ev *store.Complete, _ store.Record, _ store.Instant) {
			ev.Adoption = store.Adoption{}
		}), []string{"adoption/complete", "adoption/a lost record", "adoption/over a void record", "large answer/accepted"}},
		{"fail is not adopted", asking(func(ev *store.Fail, _ store.Record, _ store.Instant) {
			ev.Adoption = store.Adoption{}
		}), []string{"adoption/fail", "adoption/over a void record"}},
		{"adoption over anything", after(func(o outcome[store.Complete]) {
			if o.reply.Verdict == store.Refused && o.ev.Allows(o.now) {
				*o.next, *o.reply = store.Step(store.Record{}, o.ev, o.now)
			}
		}), []string{"adoption/never over another record", "adoption/not over a release that started", "complete/not the owner"}},
		{"void is absent for every token", before(func(rec *store.Record, ev store.Complete) {
			if rec.Void {
				rec.Token = ev.Token + 1
			}
		}), []string{"adoption/over a void record only by a smaller token"}},
		{"void is nothing special", before(func(rec *store.Record, _ store.Complete) { rec.Void = false }),
			[]string{"adoption/over a void record", "large answer/accepted"}},
	}
}

func restOfEndFaults() []fault {
	return []fault{
		{"fail shortens the record", after(func(o outcome[store.Fail]) {
			if o.next.State == store.Unknown {
				o.next.Expires = o.now.Add(o.ev.Retention)
			}
		}), []string{"fail/makes unknown", "ttl/finished"}},
		{"fail sets the mark to what it knows", after(func(o outcome[store.Fail]) {
			if o.reply.Verdict == store.Done {
				o.next.Marked = o.ev.Marked
			}
		}), []string{"fail/knows the mark", "mark/is recorded"}},
		{"fail again is executed again", before(func(rec *store.Record, _ store.Fail) {
			if rec.State == store.Unknown {
				rec.State = store.Running
			}
		}), []string{"fail/twice"}},
		{"fail undoes a completion", before(func(rec *store.Record, _ store.Fail) {
			if rec.State == store.Completed {
				rec.State = store.Running
			}
		}), []string{"fail/completed"}},
		{"fail undoes a release", before(func(rec *store.Record, _ store.Fail) {
			if rec.State == store.Released {
				rec.State = store.Running
			}
		}), []string{"fail/released"}},
		{"release keeps the mark", after(func(o outcome[store.Release]) { o.next.Marked = o.before.Marked }),
			[]string{"release/own running"}},
		{"release undoes a completion", before(func(rec *store.Record, _ store.Release) {
			if rec.State == store.Completed {
				rec.State = store.Running
			}
		}), []string{"release/again"}},
		{"release undoes a fail", before(func(rec *store.Record, _ store.Release) {
			if rec.State == store.Unknown {
				rec.State = store.Running
			}
		}), []string{"release/unknown", "void release/restores unknown"}},
		{"void is not heard", asking(func(ev *store.Release, _ store.Record, _ store.Instant) { ev.Void = false }),
			[]string{"void release/gives back the number", "void release/restores unknown", "void release/first attempt only"}},
		{"void whatever started before", after(func(o outcome[store.Release]) {
			o.next.Void = o.ev.Void && o.next.State == store.Released
		}), []string{"void release/first attempt only", "adoption/not over a release that started"}},
	}
}

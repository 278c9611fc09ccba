package storetest_test

import (
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/storetest/broken"
)

func settleFaults() []fault {
	return append([]fault{
		{"settle takes any token", asking(func(ev *store.Settle, rec store.Record, _ store.Instant) { ev.Token = rec.Token }),
			[]string{"settle/compare and set", "large answer/refused"}},
		{"settle ends the living", asking(func(ev *store.Settle, _ store.Record, _ store.Instant) { ev.Running = true }),
			[]string{"settle/running needs the word"}},
		{"settle keeps the owner", after(func(o outcome[store.Settle]) {
			if o.before.State != store.Absent {
				o.next.Owner = o.before.Owner
			}
		}), []string{"settle/deposes the owner", "settle/with an answer"}},
		{"settle releases without a trace", after(func(o outcome[store.Settle]) {
			if o.next.State == store.Released {
				*o.next = store.Record{}
			}
		}), []string{"settle/with a release"}},
		{"settle again is refused", after(func(o outcome[store.Settle]) {
			if o.before.State == store.Completed || o.before.State == store.Released {
				o.reply.Verdict = store.Refused
			}
		}), []string{"settle/again"}},
		{"settle invents a record", on(func(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
			ev, ok := event.(store.Settle)
			if ok && ev.Answer != nil && rec.Live(now).State == store.Absent {
				rec = store.Record{State: store.Unknown, Token: ev.Token, Expires: now + 1}
			}
			return store.Step(rec, event, now)
		}), []string{"settle/nothing to settle"}},
		{"settled record keeps the running ttl", after(func(o outcome[store.Settle]) {
			if o.before.State == store.Unknown {
				o.next.Expires = o.before.Expires
			}
		}), []string{"settle/never shortens a life", "erase/releases a completed record", "large answer/accepted"}},
		{"settle shortens", after(func(o outcome[store.Settle]) {
			if o.next.Expires != o.before.Expires || o.next.State != o.before.State {
				o.next.Expires = o.now.Add(o.ev.Retention)
			}
		}), []string{"settle/never shortens a life", "erase/releases a completed record"}},
		{"a large settlement shortens", after(func(o outcome[store.Settle]) {
			if len(o.next.Answer.Body) > 4096 && o.next.Finished == o.now {
				o.next.Expires = o.now.Add(o.ev.Retention)
			}
		}), []string{"settle/never shortens a life"}},
	}, eraseFaults()...)
}

// erasing changes what an erasure of an answer does.
func erasing(change func(o outcome[store.Settle])) func() (store.Store, *broken.Store) {
	return after(func(o outcome[store.Settle]) {
		if o.ev.Erase && o.before.State == store.Completed {
			change(o)
		}
	})
}

func eraseFaults() []fault {
	return []fault{
		{"erase keeps the answer", erasing(func(o outcome[store.Settle]) { o.next.Answer = o.before.Answer }),
			[]string{"erase/releases a completed record"}},
		{"erase keeps a settled answer's record completed", erasing(func(o outcome[store.Settle]) {
			*o.next, o.reply.Verdict = o.before, store.Done
		}), []string{"erase/releases a completed record", "erase/the next attempt"}},
		{"erase is not heard", asking(func(ev *store.Settle, _ store.Record, _ store.Instant) { ev.Erase = false }),
			[]string{"erase/releases a completed record", "erase/again"}},
		{"erase leaves no trace", erasing(func(o outcome[store.Settle]) { *o.next = store.Record{} }),
			[]string{"erase/releases a completed record", "erase/the next attempt", "erase/deposes the owner"}},
		{"erase shortens", erasing(func(o outcome[store.Settle]) { o.next.Expires = o.now.Add(o.ev.Retention) }),
			[]string{"erase/releases a completed record"}},
		{"erase leaves a void record", erasing(func(o outcome[store.Settle]) { o.next.Void = true }),
			[]string{"erase/releases a completed record"}},
		{"erase ends the living", asking(func(ev *store.Settle, _ store.Record, _ store.Instant) {
			ev.Running = ev.Running || ev.Erase
		}), []string{"erase/running needs the word"}},
		{"erase takes any token", asking(func(ev *store.Settle, rec store.Record, _ store.Instant) {
			if ev.Erase {
				ev.Token = rec.Token
			}
		}), []string{"erase/compare and set", "erase/again"}},
		{"erase again is refused", after(func(o outcome[store.Settle]) {
			if o.ev.Erase && o.before.State == store.Released {
				o.reply.Verdict = store.Refused
			}
		}), []string{"erase/again"}},
		{"a completion undoes an erasure", before(func(rec *store.Record, _ store.Complete) {
			if rec.State == store.Released {
				rec.State = store.Running
			}
		}), []string{"erase/deposes the owner"}},
	}
}

package storetest_test

import (
	"time"

	"github.com/reprise-go/reprise/store"
)

func timeFaults() []fault {
	return []fault{
		{"renewal keeps the lease end", after(func(o outcome[store.Renew]) { o.next.LeaseEnd = o.before.LeaseEnd }),
			[]string{"renew/moves the lease", "renew batch/full", "renew batch/answers by index"}},
		{"renewal revives a lapsed lease", before(func(rec *store.Record, ev store.Renew) {
			if rec.Owner == ev.Owner {
				rec.LeaseEnd = 1 << 60
			}
		}), []string{"renew/lapsed is lost"}},
		{"renewal of a finished record sets its ttl", after(func(o outcome[store.Renew]) {
			if o.before.Owner == o.ev.Owner && o.before.State == store.Completed {
				o.next.Expires = o.now.Add(o.ev.Lease)
				o.reply.Verdict = store.Done
			}
		}), []string{"renew/finished is untouched"}},
		{"renewal creates a record", after(func(o outcome[store.Renew]) {
			if o.before.State == store.Absent {
				*o.next = store.Record{State: store.Running, Owner: o.ev.Owner, Token: 1, Expires: o.now.Add(time.Hour)}
			}
		}), []string{"renew/absent is lost"}},
		{"mark is not written", after(func(o outcome[store.Mark]) { o.next.Marked = o.before.Marked }),
			[]string{"mark/is recorded"}},
		{"mark accepted after a lapse", before(func(rec *store.Record, _ store.Mark) { rec.LeaseEnd = 1 << 60 }),
			[]string{"mark/lapsed is lost"}},
		{"mark accepted after the end", before(func(rec *store.Record, _ store.Mark) { rec.State = store.Running }),
			[]string{"mark/not running is lost"}},
		{"running ttl is lease plus retention", after(func(o outcome[store.Claim]) {
			if o.reply.Verdict == store.Claimed {
				o.next.Expires = o.now.Add(o.ev.Lease + o.ev.Retention)
			}
		}), []string{"ttl/running", "ttl/hours", "ttl/lease is not the ttl"}},
		{"a record without expiry", after(func(o outcome[store.Renew]) { o.next.Expires += 1 << 50 }),
			[]string{"ttl/running"}},
		{"attempt is not counted", after(func(o outcome[store.Claim]) {
			if o.reply.Verdict == store.Claimed {
				o.next.Attempt, o.reply.Attempt = 1, 1
			}
		}), []string{"attempt/counts starts", "claim/after a release"}},
		{"large bodies are cut", after(func(o outcome[store.Complete]) {
			if len(o.next.Answer.Body) > 4096 {
				o.next.Answer.Body = o.next.Answer.Body[:4096]
			}
		}), []string{"answer/sizes", "large answer/accepted"}},
		{"bodies are text", after(func(o outcome[store.Complete]) {
			o.next.Answer.Body = []byte(string([]rune(string(o.next.Answer.Body))))
		}), []string{"answer/every byte"}},
		{"the reason is lost", after(func(o outcome[store.Complete]) { o.next.Answer.Omitted = store.BodyKept }),
			[]string{"answer/omitted"}},
		{"a void record keeps its void when claimed", after(func(o outcome[store.Claim]) {
			if o.reply.Verdict == store.Claimed {
				o.next.Void = o.before.Void
			}
		}), []string{"void release/first attempt only"}},
		{"scope is not kept", after(func(o outcome[store.Claim]) { o.next.Scope = store.ScopeDigest{} }),
			[]string{"lookup/every field"}},
		{"a lookup finds what was never there", after(func(o outcome[store.Mark]) {
			if o.before.State == store.Absent {
				*o.next = store.Record{State: store.Released, Expires: 1 << 60}
			}
		}), []string{"mark/not running is lost"}},
		{"nothing is bound to time", on(func(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
			if rec.State == store.Released || rec.State == store.Completed {
				rec.Expires = 1 << 60
			}
			next, reply := store.Step(rec, event, now)
			if next.State == store.Released || next.State == store.Completed {
				next.Expires = 1 << 60
			}
			return next, reply
		}), []string{"ttl/short retention", "late claim/tombstone is forgotten"}},
	}
}

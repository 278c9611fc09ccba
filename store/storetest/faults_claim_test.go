package storetest_test

import (
	"time"

	"github.com/reprise-go/reprise/store"
)

func claimFaults() []fault {
	return []fault{
		{"lease end is not told", after(func(o outcome[store.Claim]) { o.reply.LeaseEnd = 0 }),
			[]string{"claim/first", "claim/own again", "claim/in progress"}},
		{"a duplicate's claim shortens the lease", after(func(o outcome[store.Claim]) {
			if o.reply.Verdict == store.InProgress {
				o.next.LeaseEnd = o.now
			}
		}), []string{"claim/in progress"}},
		{"waiters are forgotten by a renewal", after(func(o outcome[store.Renew]) { o.next.Waiters = false }),
			[]string{"claim/waiting is remembered"}},
		{"a replay prolongs the record", after(func(o outcome[store.Claim]) {
			if o.reply.Verdict == store.Recorded {
				o.next.Expires = o.now.Add(time.Hour)
			}
		}), []string{"claim/replay"}},
		{"a replay to the owner says ended", on(func(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
			next, reply := store.Step(rec, event, now)
			if ev, ok := event.(store.Claim); ok && reply.Verdict == store.Recorded && ev.Owner == rec.Owner {
				reply = store.Reply{Verdict: store.Ended, Now: now}
			}
			return next, reply
		}), []string{"claim/replay"}},
		{"release deletes the record", after(func(o outcome[store.Release]) {
			if o.next.State == store.Released && o.before.State == store.Running {
				*o.next = store.Record{}
			}
		}), []string{"claim/after a release", "late claim/after the end", "fingerprint/bound through release", "attempt/counts starts"}},
		{"a claim starts at another record's attempt", shared, []string{"claim/independent records"}},
		{"running is told before mismatch", on(func(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
			if ev, ok := event.(store.Claim); ok && rec.Live(now).State == store.Running {
				ev.Fingerprint = rec.Fingerprint
				return store.Step(rec, ev, now)
			}
			return store.Step(rec, event, now)
		}), []string{"fingerprint/mismatch", "fingerprint/other algorithm"}},
		{"fingerprint forgotten on release", before(func(rec *store.Record, ev store.Claim) {
			if rec.State == store.Released {
				rec.Fingerprint = ev.Fingerprint
			}
		}), []string{"fingerprint/bound through release", "fingerprint/mismatch"}},
		{"other algorithm is a mismatch", after(func(o outcome[store.Claim]) {
			if o.reply.Verdict == store.OtherAlgorithm {
				*o.reply = store.Reply{Verdict: store.Mismatch, Now: o.now}
			}
		}), []string{"fingerprint/other algorithm"}},
		{"take-over whatever the mode", asking(func(ev *store.Claim, _ store.Record, _ store.Instant) {
			ev.TakeOver = store.TakeOverAlways
		}), []string{"take-over/never", "take-over/unmarked"}},
		{"unmarked is never", asking(func(ev *store.Claim, _ store.Record, _ store.Instant) {
			if ev.TakeOver == store.TakeOverUnmarked {
				ev.TakeOver = store.TakeOverNever
			}
		}), []string{"take-over/unmarked"}},
		{"always means unmarked", asking(func(ev *store.Claim, _ store.Record, _ store.Instant) {
			ev.TakeOver = min(ev.TakeOver, store.TakeOverUnmarked)
		}), []string{"take-over/always"}},
		{"a take-over is the first start", after(func(o outcome[store.Claim]) {
			if o.next.TookOver {
				o.next.Created, o.next.Attempt, o.reply.Attempt = o.now, 1, 1
			}
		}), []string{"take-over/starts anew", "attempt/counts starts"}},
		{"a take-over loses the mark", after(func(o outcome[store.Claim]) {
			if o.reply.TookOver {
				o.next.Marked = false
			}
		}), []string{"take-over/keeps the mark", "claim/own again says what it took over"}},
		{"not-before is ignored", before(func(rec *store.Record, _ store.Claim) { rec.NotBefore = 0 }),
			[]string{"take-over/not before"}},
		{"released forgets who ended", before(func(rec *store.Record, _ store.Claim) {
			if rec.State == store.Released {
				rec.Owner = store.Owner{1}
			}
		}), []string{"late claim/after the end", "late claim/tombstone"}},
		{"no tombstone", after(func(o outcome[store.Release]) {
			if o.before.State == store.Absent {
				*o.next = store.Record{}
			}
		}), []string{"late claim/tombstone"}},
		{"tombstone for the retention", after(func(o outcome[store.Release]) {
			if o.before.State == store.Absent {
				o.next.Expires = o.now.Add(o.ev.Retention)
			}
		}), []string{"late claim/tombstone lasts a minute", "late claim/tombstone is forgotten"}},
		{"token is not raised", after(func(o outcome[store.Claim]) {
			if o.reply.Verdict == store.Claimed {
				o.next.Token, o.reply.Token = store.Token(o.now), store.Token(o.now)
			}
		}), []string{"token/grows with every start", "clock/token after a jump back"}},
		{"token is kept", after(func(o outcome[store.Claim]) {
			if o.reply.Verdict == store.Claimed && o.before.State != store.Absent {
				o.next.Token, o.reply.Token = o.before.Token, o.before.Token
			}
		}), []string{"token/grows with every start", "take-over/starts anew", "claim/after a release"}},
		{"a lease in the far future is believed", before(func(rec *store.Record, _ store.Claim) {
			rec.Lease = 100 * 24 * time.Hour
		}), []string{"clock/lease after a jump back"}},
	}
}

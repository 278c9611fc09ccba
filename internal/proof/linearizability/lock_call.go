package linearizability

import (
	"fmt"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/store"
)

// lockVerb is what is asked of a lock.
type lockVerb uint8

const (
	acquires lockVerb = iota + 1
	renews            // with another lease than before, too: that is how a lease is extended
	releases
	looks
)

// String returns the verb.
func (v lockVerb) String() string {
	return [...]string{"", "acquire", "renew", "release", "look"}[v]
}

// lockCall is a call as it was sent, and when it can have been executed. For one
// that was not answered that has no end.
type lockCall struct {
	verb  lockVerb
	owner lock.Owner
	lease store.Instant // as a length
	when  moment
}

// lockAnswer is the answer to a call.
type lockAnswer struct {
	reply lock.Reply // to acquire
	done  bool       // of renew: not lost; of release: the owner held it
	seen  LockRecord // by looking
}

// String returns the answer in a word.
func (a lockAnswer) word(verb lockVerb) string {
	switch {
	case verb == acquires:
		return a.reply.Verdict.String()
	case verb == looks:
		return a.seen.String()
	case a.done:
		return "done"
	}
	return "lost"
}

func (c lockCall) describe(a lockAnswer) string {
	if c.verb == looks {
		return fmt.Sprintf("look → %s, owner %.4s, kept %t, former %.2x, token %d, end %d, within %v",
			a.seen, a.seen.Owner, a.seen.Kept, a.seen.Former, a.seen.Token, a.seen.End, c.when)
	}
	return fmt.Sprintf("%v %.4s → %s, token %d, left %v, within %v",
		c.verb, c.owner, a.word(c.verb), a.reply.Token, a.reply.Left, c.when)
}

// Formers is how many of those who released a lock are remembered while others
// have it.
const Formers = 2

// FormerOwner is the part of an owner that is remembered: its second half.
type FormerOwner [len(lock.Owner{}) / 2]byte

func formerOf(owner lock.Owner) FormerOwner { return FormerOwner(owner[len(owner)/2:]) }

// LockRecord is what a look at a lock sees. The zero value is a lock that nobody
// has had.
type LockRecord struct {
	Held  bool // by Owner, its lease lapsed or not
	Ended bool // the trace of Owner's hold
	Owner lock.Owner
	// Kept says, of a trace, that Owner held the lock up to its release.
	Kept   bool
	Former [Formers]FormerOwner
	Token  lock.Token
	// End is when the lease lapses, in µs since 1970 by the backend's clock; of a
	// trace it is 0.
	End int64
}

// String returns the kind of record.
func (r LockRecord) String() string {
	switch {
	case r.Held:
		return "held"
	case r.Ended:
		return "ended"
	}
	return "free"
}

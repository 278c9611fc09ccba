package simulation

import "fmt"

// Rule is what the judge holds a world to.
type Rule string

// The rules. In worlds where the store forgets, those hold that can: what
// refers to one memory of the store is judged within that.
const (
	// OneEffect (I1): an operation has at most one effect. It is judged where
	// the policy promises it, so not under [idempotency.OrphanRerun].
	OneEffect Rule = "I1 at most one effect"
	// OneStart (I1): under [idempotency.OrphanRefuse] a handler starts again
	// only when every earlier start said itself that nothing happened.
	OneStart Rule = "I1 at most one start"
	// OneHolder (I1): a claim is granted only when the one before it was ended or
	// has lapsed.
	OneHolder Rule = "I1 one holder at a time"
	// StaysEnded (I1): a claim that its owner gave up is not granted any more,
	// however late it arrives.
	StaysEnded Rule = "I1 what was given up stays so"
	// HeardLoss (I1): the context of a handler has ended before its lease lapses.
	HeardLoss Rule = "I1 the loss of a lease is heard in time"
	// OneAnswer (I2): all final answers to an operation are equal.
	OneAnswer Rule = "I2 one final answer"
	// RealAnswer (I3): a final success has its effect in the ledger.
	RealAnswer Rule = "I3 a final success has an effect"
	// OwnerOnly (I4): nobody but the owner renews, marks or ends an attempt.
	OwnerOnly Rule = "I4 only the owner changes a record"
	// Deposed (I5): who executed a handler gives its answer as the recorded one
	// only if it is.
	Deposed Rule = "I5 a deposed owner's answer is not final"
	// Progress (I6): every request ends in bounded time, and every key can be
	// answered once the faults have stopped.
	Progress Rule = "I6 progress"
	// OwnClaim (I6): nobody is refused because of its own claim.
	OwnClaim Rule = "I6 a claim does not stand in its own way"
	// LeftBehind (I6): a claim that never started is given back, as long as its
	// process lives.
	LeftBehind Rule = "I6 nothing is left behind"
	// FailClosed (I9): a handler runs only after its claim was granted and the
	// grant was heard.
	FailClosed Rule = "I9 store unknown, handler not run"
	// TokensGrow (I11): each start has a larger token than those before it.
	TokensGrow Rule = "I11 tokens grow"
	// AnswersStay: what a completed record answers does not change.
	AnswersStay Rule = "a completed answer does not change"
	// ValidEvents: the engine sends nothing that the contract calls invalid.
	ValidEvents Rule = "valid events"
)

// Violation is a rule that did not hold.
type Violation struct {
	Rule Rule
	Text string
}

// String returns the rule and what happened.
func (v Violation) String() string { return fmt.Sprintf("%s: %s", v.Rule, v.Text) }

package idempotency

import (
	"context"
	"errors"
	"fmt"

	"github.com/reprise-go/reprise/store"
)

// OperationOption configures one operation: a [Policy], or what is no data, such
// as [Reconcile].
type OperationOption interface {
	operation(set *operationSettings)
}

type operationSettings struct {
	policy    Policy
	reconcile ReconcileFunc
	replays   []replayable
	err       error // what is wrong with the options
}

func newOperationSettings(base Policy, opts []OperationOption) (operationSettings, error) {
	set := operationSettings{policy: base.clone()}
	for _, opt := range opts {
		if opt == nil {
			return set, errors.New("a nil option")
		}
		opt.operation(&set)
	}
	return set, errors.Join(set.err, set.policy.Validate())
}

func (p Policy) operation(set *operationSettings) { set.policy = set.policy.Override(p) }

// NoOperationOption is for options that a transport takes beside those of the
// engine, in one list: embedded into them, it makes them fit in, and where one is
// given to another transport or to [Guard.Operation] itself, the error says name,
// and that it is for place.
func NoOperationOption(name, place string) OperationOption { return strangeOption{name, place} }

type strangeOption struct{ name, place string }

func (s strangeOption) operation(set *operationSettings) {
	set.err = errors.Join(set.err, fmt.Errorf("%s is for %s", s.name, s.place))
}

// ReconcileFunc finds out what became of an attempt whose outcome is unknown:
// it asks the payment provider, or looks into the database. It runs on the
// goroutine of the duplicate that asked, under a claim of its own, so that there
// is one at a time over all processes. Its context is a handler's: it ends when
// the lease is lost, [FromContext] tells of the new attempt, whose number is one
// above the orphan's.
//
// An error, a panic and [StillUnknown] mean that nothing was found out:
// duplicates get [ErrOutcomeUnknown] without another question for 30 s.
type ReconcileFunc func(ctx context.Context, orphan Orphaned) (Finding, error)

// Orphaned describes an operation whose outcome is unknown.
type Orphaned struct {
	Operation string
	// OperationID identifies scope, operation and key; see [Info].OperationID.
	OperationID string
	// Scope and Key are those of the duplicate that asked, and so the
	// operation's.
	Scope, Key string
	// Marked says that an effect was marked.
	Marked bool
}

// Finding is what a [ReconcileFunc] found out. The zero value is
// [StillUnknown].
type Finding struct {
	kind   findingKind
	answer store.Answer
}

type findingKind uint8

const (
	findingUnknown findingKind = iota
	findingNothing
	findingAnswer
)

// Happened says that the operation was done, and what its answer is. It is
// recorded and replayed from now on. Transports have constructors for answers.
func Happened(answer store.Answer) Finding { return Finding{findingAnswer, answer} }

// NothingHappened says that the orphan had no effect: the handler runs, under
// the same claim.
func NothingHappened() Finding { return Finding{kind: findingNothing} }

// StillUnknown says that it could not be found out yet.
func StillUnknown() Finding { return Finding{} }

// Reconcile sets how unknown outcomes of an operation are resolved. It takes the
// place of the policy's Orphan mode: whenever a duplicate meets an attempt that
// died, or failed with an unknown outcome, it is called first.
func Reconcile(f ReconcileFunc) OperationOption { return reconcileOption{f} }

type reconcileOption struct{ f ReconcileFunc }

func (r reconcileOption) operation(set *operationSettings) {
	switch {
	case r.f == nil:
		set.err = errors.Join(set.err, errors.New("Reconcile: the function is nil"))
	case set.reconcile != nil:
		set.err = errors.Join(set.err, errors.New("Reconcile is given twice"))
	}
	set.reconcile = r.f
}

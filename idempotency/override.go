package idempotency

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/reprise-go/reprise/internal/nearest"
)

// overriding is what [Guard.Override] said about an operation. No list is in it, since
// none can change at run time: nothing of it is shared.
type overriding struct {
	said  Policy
	since time.Time
}

func (o overriding) any() bool { return !o.since.IsZero() }

// Overridden describes an override that is in force.
type Overridden struct {
	// Operation is the operation's name.
	Operation string
	// Policy is what was said, Effective what follows from it.
	Policy, Effective Policy
	// Since is when it was said, by this process's clock.
	Since time.Time
}

// Override changes an operation's policy at run time, in this process: each field
// that p sets takes the place of the declared one. It holds for executions that
// begin from now on; those under way finish as they began. The next override of
// the operation takes the place of this one, and an empty policy takes it back.
// Safe for concurrent use; no round trip. It is logged.
//
// With [KeyOff] it is a kill switch: new requests run unprotected at once, also
// duplicates of attempts that are under way.
//
// Errors leave everything as it was. They name the operation that is not
// registered, or all that is wrong with the policy: what [Policy.Validate] finds,
// and what cannot change at run time, with the reason:
//   - KeyFormat, the fingerprint's rules, and Headers;
//   - an operation that is declared [KeyOff], whose route nothing has checked as a
//     protected one. What is to be switched on some day is declared [KeyShadow];
//   - a retention, or MinRetention, below the shortest that is declared. Other
//     processes, and attempts under way, count on it that any run of the operation
//     leaves a record for that long: when a record has vanished, they record their
//     answer only within that time. What is to be shortened some day declares a
//     MinRetention.
//
// A longer retention leaves what [RetainFor] may ask for as it is.
//
// Other processes are not told. Until each of them has the override, duplicates
// are served by the policy of the process that they come to; whatever the order,
// no promise beyond the policies' own words depends on it.
func (g *Guard) Override(operation string, p Policy) error {
	before, err := g.override(operation, p)
	if err != nil {
		return err
	}
	g.opts.logger.Warn("idempotency: the policy of an operation was changed at run time",
		"operation", operation, "override", p.String(), "before", before.String())
	return nil
}

func (g *Guard) override(operation string, p Policy) (before Policy, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	op := g.operations[operation]
	if op == nil {
		return before, fmt.Errorf("idempotency: Override: operation %q is not registered%s",
			operation, nearestOf(operation, slices.Sorted(maps.Keys(g.operations))))
	}
	policy, err := op.under(p)
	if op.isFunction() {
		err = errors.Join(err, p.checkFunction())
	}
	if err != nil {
		return before, fmt.Errorf("idempotency: Override: operation %q: %w", operation, err)
	}
	before = op.over.said
	op.over = overriding{}
	if p.String() != "" {
		op.over = overriding{said: p, since: time.Now()}
	}
	op.enforce(policy)
	return before, nil
}

func nearestOf(given string, names []string) string {
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("; the nearest is %q", nearest.Word(given, names))
}

// under returns the operation's policy under an override.
func (r *registered) under(over Policy) (Policy, error) {
	policy := r.declared.Override(over)
	if policy.MinRetention == 0 && policy.Retention > r.declared.Retention {
		// A handler's RetainFor must not begin to fail by a longer retention.
		policy.MinRetention = r.declared.Retention
	}
	errs := []error{over.checkFixed()}
	if r.declared.Key == KeyOff && policy.Key != KeyOff {
		errs = append(errs, fmt.Errorf("Key cannot be changed at run time: the operation is declared %q, "+
			"and its route was not checked as a protected one; declare it %q", KeyOff, KeyShadow))
	}
	if short, least := policy.shortestRetention(), r.declared.shortestRetention(); short < least {
		errs = append(errs, fmt.Errorf("%s %v is shorter than the declared %v, which attempts under way and other processes "+
			"count on; declare a MinRetention", policy.shortestField(), short, least))
	}
	return policy, errors.Join(append(errs, policy.Validate())...)
}

// shortestField is where [Policy.shortestRetention] comes from.
func (p Policy) shortestField() string {
	if p.MinRetention != 0 {
		return "MinRetention"
	}
	return "Retention"
}

// checkFixed finds what cannot change at run time.
func (p Policy) checkFixed() error {
	var errs []error
	for _, w := range policyWords() {
		if w.fixed != "" && w.write(p) != "" {
			errs = append(errs, fmt.Errorf("%s cannot be changed at run time: %s", w.field, w.fixed))
		}
	}
	return errors.Join(errs...)
}

// Overrides returns the overrides that are in force, sorted by operation.
func (g *Guard) Overrides() []Overridden {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []Overridden
	for name, op := range g.operations {
		if op.over.any() {
			all = append(all, Overridden{
				Operation: name, Policy: op.over.said, Effective: op.Policy(), Since: op.over.since,
			})
		}
	}
	slices.SortFunc(all, func(a, b Overridden) int { return strings.Compare(a.Operation, b.Operation) })
	return all
}

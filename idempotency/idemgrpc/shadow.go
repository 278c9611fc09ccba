package idemgrpc

import "github.com/reprise-go/reprise/idempotency"

// now returns the method under the policy that is in force: all that is decided
// about one call follows the same one.
func (m *method) now() *method {
	op := m.live.Current()
	if op == m.op {
		return m
	}
	current := *m
	current.op, current.policy = op, op.Policy()
	return &current
}

// shadowed reports that the handler runs in any case, and that what it sends is
// not held back.
func (m *method) shadowed() bool { return m.policy.Key == idempotency.KeyShadow }

// detached reports that a handler does not hear of a caller who has gone.
func (m *method) detached() bool {
	return m.policy.Caller == idempotency.CallerDetached && !m.shadowed()
}

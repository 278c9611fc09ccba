package teeth_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/proof/simulation"
	"github.com/reprise-go/reprise/store/storetest/broken"
)

// seeds of the simulation are enough to find any of the faults.
const seeds = 5000

// catch runs a core on a harness and tells what that found; nothing means that
// it got through.
type catch func(t *testing.T) string

func TestEightBrokenCoresAreCaught(t *testing.T) {
	t.Parallel()
	cores := []struct {
		name string
		by   map[string]catch // harness
	}{
		{"no owner check", map[string]catch{
			"simulation": simulated(simulation.Core{Open: broken.NoOwnerCheck}, simulation.OneHolder),
		}},
		{"claim not idempotent per owner", map[string]catch{
			"simulation": simulated(simulation.Core{Open: broken.ClaimNotIdempotent}, simulation.OwnClaim),
		}},
		{"early lapse", map[string]catch{
			"simulation": simulated(simulation.Core{Open: broken.EarlyLapse}, simulation.OneHolder),
		}},
		{"deposed owner answers", map[string]catch{
			"simulation": simulated(simulation.Core{Open: broken.DeposedAnswers}, simulation.OneAnswer),
		}},
		{"lease = TTL", map[string]catch{
			"simulation, starts":  simulated(simulation.Core{Open: broken.LeaseIsTTL}, simulation.OneStart),
			"simulation, effects": simulated(simulation.Core{Open: broken.LeaseIsTTL}, simulation.OneEffect),
		}},
		{"fail open", map[string]catch{
			"simulation": simulated(simulation.Core{Policy: failOpen}, simulation.FailClosed),
			"wire":       served(service{policy: failOpen(idempotency.Policy{})}, closed),
		}},
		{"scope missing", map[string]catch{"wire": served(service{scopeMissing: true}, scoped)}},
		{"cookie replayed", map[string]catch{"wire": served(service{cookieKept: true}, cookieless)}},
	}
	require.Len(t, cores, 8)
	for _, core := range cores {
		for harness, try := range core.by {
			t.Run(core.name+", by "+harness, func(t *testing.T) {
				t.Parallel()
				found := try(t)
				require.NotEmpty(t, found, "not caught")
				t.Log(found)
			})
		}
	}
}

// Without this, the harness on the wire might refuse everything. What the
// simulation says about the right core is told by its own tests.
func TestRightCoreIsNotCaughtOnTheWire(t *testing.T) {
	t.Parallel()
	for _, rule := range []wireRule{closed, scoped, cookieless} {
		assert.Empty(t, served(service{}, rule)(t))
	}
}

// failOpen lets handlers run when the store cannot be asked.
func failOpen(policy idempotency.Policy) idempotency.Policy {
	policy.StoreDown = idempotency.StoreDownOpen
	return policy
}

// simulated runs worlds on a core until one of them breaks a rule.
func simulated(core simulation.Core, rule simulation.Rule) catch {
	return func(t *testing.T) string {
		t.Helper()
		for seed := range uint64(seeds) {
			var out simulation.Outcome
			synctest.Test(t, func(*testing.T) { out = simulation.Run(seed, core) })
			i := slices.IndexFunc(out.Violations, func(v simulation.Violation) bool { return v.Rule == rule })
			if i >= 0 {
				return fmt.Sprintf("seed %d: %v", seed, out.Violations[i])
			}
		}
		return ""
	}
}

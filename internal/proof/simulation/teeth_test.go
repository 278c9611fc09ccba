package simulation_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/proof/simulation"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/storetest/broken"
)

// enough seeds find any of the faults.
const enough = 5000

// Each store is wrong in one way that clients can suffer from. The simulation
// must find it within some seeds, by one of the rules that it breaks.
func TestSimulationCatchesBrokenCores(t *testing.T) {
	cores := []struct {
		name  string
		open  simulation.Open
		rules []simulation.Rule
	}{
		{"no owner check", broken.NoOwnerCheck, []simulation.Rule{simulation.OneHolder}},
		{"claim not idempotent per owner", broken.ClaimNotIdempotent, []simulation.Rule{simulation.OwnClaim}},
		{"lease is the time to live", broken.LeaseIsTTL, []simulation.Rule{simulation.OneStart, simulation.OneEffect}},
		{"take-over is not atomic", broken.TakeOverNotAtomic, []simulation.Rule{simulation.OneHolder}},
		{"mark takes no notice of the lease", stepping(markAlways), []simulation.Rule{simulation.OneEffect}},
		{"released without a trace", stepping(noTombstone), []simulation.Rule{simulation.StaysEnded}},
	}
	for _, core := range cores {
		t.Run(core.name, func(t *testing.T) {
			missing := core.rules
			for seed := uint64(0); seed < enough && len(missing) > 0; seed++ {
				out := runSeed(t, seed, core.open)
				missing = slices.DeleteFunc(missing, func(rule simulation.Rule) bool {
					i := slices.IndexFunc(out.Violations, func(v simulation.Violation) bool { return v.Rule == rule })
					if i >= 0 {
						t.Logf("seed %d: %v", seed, out.Violations[i])
					}
					return i >= 0
				})
			}
			require.Empty(t, missing, "not found in %d seeds", enough)
		})
	}
}

func stepping(step broken.Step) simulation.Open {
	return func() store.Store { return broken.New(step) }
}

func markAlways(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
	if _, ok := event.(store.Mark); ok {
		return rec, store.Reply{Verdict: store.Done, Now: now}
	}
	return store.Step(rec, event, now)
}

func noTombstone(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
	if _, ok := event.(store.Release); ok && rec.Live(now).State == store.Absent {
		return store.Record{}, store.Reply{Verdict: store.Done, Now: now}
	}
	return store.Step(rec, event, now)
}

package simulation_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/proof/simulation"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/storetest/broken"
)

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
			found := map[simulation.Rule]int{}
			for seed := range uint64(3000) {
				out := runSeed(t, seed, core.open)
				for _, v := range out.Violations {
					if found[v.Rule] == 0 {
						t.Logf("seed %d: %v", seed, v)
					}
					found[v.Rule]++
				}
			}
			for _, rule := range core.rules {
				assert.Contains(t, found, rule)
			}
			require.NotEmpty(t, found)
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

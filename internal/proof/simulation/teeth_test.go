package simulation_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/proof/simulation"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/storetest/broken"
)

// enough seeds find any of the faults.
const enough = 5000

// Each store is wrong in one way that clients can suffer from. The simulation
// must find it within some seeds, by the rules that it breaks. The eight cores
// that every proof is measured by are in the package teeth.
func TestSimulationCatchesBrokenStores(t *testing.T) {
	cores := []struct {
		name string
		open func() store.Store
		rule simulation.Rule
	}{
		{"take-over is not atomic", broken.TakeOverNotAtomic, simulation.OneHolder},
		{"mark takes no notice of the lease", stepping(markAlways), simulation.OneEffect},
		{"released without a trace", stepping(noTombstone), simulation.StaysEnded},
	}
	for _, core := range cores {
		t.Run(core.name, func(t *testing.T) {
			for seed := range uint64(enough) {
				out := runSeed(t, seed, simulation.Core{Open: core.open})
				for _, v := range out.Violations {
					if v.Rule == core.rule {
						t.Logf("seed %d: %v", seed, v)
						return
					}
				}
			}
			require.Fail(t, "not found", "in %d seeds", enough)
		})
	}
}

func stepping(step broken.Step) func() store.Store {
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

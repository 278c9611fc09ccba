package simulation_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/internal/proof/simulation"
)

func runSeed(t *testing.T, seed uint64, core simulation.Core) (out simulation.Outcome) {
	t.Helper()
	synctest.Test(t, func(*testing.T) { out = simulation.Run(seed, core) })
	return out
}

func TestTry(t *testing.T) {
	began := time.Now()
	var tally simulation.Tally
	bad := 0
	for seed := range uint64(20000) {
		out := runSeed(t, seed, simulation.Core{})
		tally.Add(out.Tally)
		if len(out.Violations) > 0 {
			bad++
			if bad < 4 {
				t.Log(seed, out.Violations, "\n"+out.Trace())
			}
		}
	}
	t.Log(bad, time.Since(began), "\n"+tally.String())
}

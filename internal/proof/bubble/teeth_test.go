package bubble_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/proof/bubble"
	"github.com/reprise-go/reprise/internal/proof/simulation"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// enough seeds find any of the faults.
const enough = 1000

// Each core is wrong in one way that clients can suffer from. The scenarios that
// the library as it is passes must find it within some seeds, by the rule that it
// breaks.
func TestScenariosCatchBrokenCores(t *testing.T) {
	cores := []struct {
		name string
		core bubble.Core
		rule simulation.Rule
		from uint64 // the first seed to look at: some show after hundreds only
	}{
		{"no owner check", rewriting(t, "sub(raw, 130, 161) ~= owner", "false"), simulation.OwnerOnly, 0},
		{"claim not idempotent per owner", rewriting(t, "sub(raw, 130, 161) == owner", "false"), simulation.OwnClaim, 285},
		{"lease is the time to live", rewriting(t,
			"tonumber(sub(order, 49, 64))", "math.ceil(tonumber(sub(order, 33, 48)) / 1000)",
			"sub(orders, at + 49, at + 64)", "math.ceil(tonumber(lease) / 1000)",
		), simulation.OneStart, 0},
		{"early lapse", rewriting(t, "if now < lease_end then", "if now < lease_end - length / 2 then"), simulation.OneHolder, 35},
		{"deposed owner answers", bubble.Core{Store: vain}, simulation.Deposed, 500},
		{"fail open", bubble.Core{Policy: func(p *idempotency.Policy) { p.StoreDown = idempotency.StoreDownOpen }}, simulation.FailClosed, 0},
		{"replies name nobody", bubble.Core{Nameless: true}, simulation.FailClosed, 0},
		{"scope missing", bubble.Core{Scopeless: true}, bubble.OwnAnswer, 0},
	}
	for _, core := range cores {
		t.Run(core.name, func(t *testing.T) {
			for seed := core.from; seed < core.from+enough; seed++ {
				if breaks(t, seed, core.core, core.rule) {
					assert.True(t, breaksAgain(t, seed, core.core, core.rule), "seed %d does not repeat", seed)
					return
				}
			}
			require.Fail(t, "not found", "in %d seeds", enough)
		})
	}
}

func breaks(t *testing.T, seed uint64, core bubble.Core, rule simulation.Rule) bool {
	t.Helper()
	out := runSeed(t, seed, bubble.HTTP{}, core)
	i := slices.IndexFunc(out.Violations, func(v simulation.Violation) bool { return v.Rule == rule })
	if i < 0 {
		return false
	}
	t.Logf("seed %d: %v", seed, out.Violations[i])
	return true
}

// breaksAgain runs a seed again, some times because schedulers do not repeat
// themselves to the last packet.
func breaksAgain(t *testing.T, seed uint64, core bubble.Core, rule simulation.Rule) bool {
	t.Helper()
	for range 10 {
		if breaks(t, seed, core, rule) {
			return true
		}
	}
	return false
}

// rewriting returns a core whose scripts have other words in the place of some, which
// must be there.
func rewriting(t *testing.T, pairs ...string) bubble.Core {
	t.Helper()
	names, err := filepath.Glob("../../../store/redisstore/lua/*.lua")
	require.NoError(t, err)
	var scripts strings.Builder
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		scripts.Write(text)
	}
	for i := 0; i < len(pairs); i += 2 {
		require.Contains(t, scripts.String(), pairs[i])
	}
	return bubble.Core{Script: strings.NewReplacer(pairs...).Replace}
}

// boastful is a store that takes every answer for recorded.
type boastful struct{ *redisstore.Store }

func vain(s *redisstore.Store) store.Store { return boastful{s} }

// Apply implements [store.Store].
func (b boastful) Apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	reply, err := b.Store.Apply(ctx, id, event)
	if _, completes := event.(store.Complete); completes && reply.Verdict == store.Refused {
		reply.Verdict = store.Done
	}
	return reply, err
}

package storetest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/storetest"
	"github.com/reprise-go/reprise/store/storetest/broken"
)

// able returns a harness with every capability, around a store of the package
// broken or a wrapper of one.
func able(s store.Store, inner *broken.Store) storetest.Harness {
	return storetest.Harness{
		Store:   s,
		Advance: time.Sleep, // always in a bubble here
		Rewind:  func(d time.Duration) { inner.Shift(-d) },
		Forget:  inner.Forget,
	}
}

func judge(t *testing.T, open func() storetest.Harness) (report storetest.Report) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { report = storetest.Check(t.Context(), open) })
	return report
}

func TestReferenceStoreKeepsEveryRule(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) storetest.Harness {
		s := broken.New(store.Step)
		return able(s, s)
	}, storetest.InBubble(), storetest.InParallel())
}

func TestSeedsDifferAndAllAreKept(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		report := judge(t, func() storetest.Harness {
			s := broken.New(store.Step)
			h := able(s, s)
			h.Seed = seed
			return h
		})
		require.Empty(t, report.Failures, "seed %d", seed)
	}
}

func TestCapabilitiesThatAreMissingAreSkippedWithTheReason(t *testing.T) {
	t.Parallel()
	report := judge(t, func() storetest.Harness {
		return storetest.Harness{Store: broken.New(store.Step)}
	})
	require.Empty(t, report.Failures)
	reasons := make(map[string]string)
	for _, skip := range report.Skips {
		reasons[skip.Case] = skip.String()
	}
	assert.Contains(t, reasons["ttl/hours"], "Harness.Advance is nil")
	assert.Contains(t, reasons["clock/lease after a jump back"], "Harness.Rewind is nil")
	assert.Contains(t, reasons["adoption/a lost record"], "Harness.Forget is nil")
	assert.Contains(t, reasons["ttl/hours"], "NOT CHECKED: ttl/hours")
	assert.Len(t, reasons, 5)
}

// bare is a store and nothing else.
type bare struct{ store.Store }

func TestCasesForWhatAStoreCannotDoAreSkippedWithTheReason(t *testing.T) {
	t.Parallel()
	report := judge(t, func() storetest.Harness {
		s := broken.New(store.Step)
		return able(bare{s}, s)
	})
	require.Empty(t, report.Failures)
	require.NotEmpty(t, report.Skips)
	for _, skip := range report.Skips {
		switch group, _, _ := strings.Cut(skip.Case, "/"); group {
		case "watch", "watches":
			assert.Contains(t, skip.Reason, "Harness.Store is no store.Notifier", skip.Case)
		case "inspect", "list":
			assert.Contains(t, skip.Reason, "Harness.Store is no store.Inspector", skip.Case)
		default:
			t.Errorf("%v", skip)
		}
	}
	for _, name := range report.Passed {
		assert.NotRegexp(t, "^(watch|watches|inspect|list)/", name)
	}
}

func TestEveryCaseIsInExactlyOneList(t *testing.T) {
	t.Parallel()
	report := judge(t, func() storetest.Harness {
		return storetest.Harness{Store: broken.NoOwnerCheck(), Advance: time.Sleep}
	})
	seen := make(map[string]int)
	for _, name := range report.Passed {
		seen[name]++
	}
	for _, failure := range report.Failures {
		seen[failure.Case]++
	}
	for _, skip := range report.Skips {
		seen[skip.Case]++
	}
	for name, n := range seen {
		assert.Equal(t, 1, n, name)
	}
	assert.NotEmpty(t, report.Passed)
	assert.NotEmpty(t, report.Failures)
	assert.NotEmpty(t, report.Skips)
}

func TestAFailureTellsTheRuleAndTheStory(t *testing.T) {
	t.Parallel()
	report := judge(t, func() storetest.Harness {
		return storetest.Harness{Store: broken.LeaseIsTTL(), Advance: time.Sleep}
	})
	failure := report.Failed("ttl/lease is not the ttl")
	require.NotNil(t, failure)
	text := failure.String()
	for _, part := range []string{
		"ttl/lease is not the ttl\n", "the record is absent, want running",
		"\nrule: ", "\nwhy:  ", "\nwhat happened:\n", "owner: claim -> claimed (token ",
	} {
		assert.Contains(t, text, part)
	}
	assert.Nil(t, report.Failed("claim/first"))
}

func TestARandomFailureNamesSeedAndShortSequence(t *testing.T) {
	t.Parallel()
	report := judge(t, func() storetest.Harness {
		h := storetest.Harness{Store: broken.ClaimNotIdempotent(), Advance: time.Sleep}
		h.Seed = 7
		return h
	})
	failure := report.Failed("differential/random sequences")
	require.NotNil(t, failure)
	assert.Contains(t, failure.Detail, "with Harness.Seed 7, sequence ")
	assert.LessOrEqual(t, len(failure.Transcript), 4, "two claims are enough:\n%s", failure)
	assert.GreaterOrEqual(t, strings.Count(strings.Join(failure.Transcript, "\n"), "claim"), 2)
}

package storetest_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/storetest"
	"github.com/reprise-go/reprise/store/storetest/broken"
)

func TestEveryCaseHasANameOfItsOwnARuleAndAReason(t *testing.T) {
	t.Parallel()
	names := storetest.Names()
	assert.Len(t, names, storetest.Count(), "two cases share a name")
	for name, texts := range names {
		assert.NotEmpty(t, texts[0], name)
		assert.NotEmpty(t, texts[1], name)
	}
}

// A random case that saw too little would be green for nothing. The default
// seed leads every event to every state, and to 104 ways of answering, of 106
// that twenty seeds together were seen to find.
func TestRandomSequencesReachTheWholeProtocol(t *testing.T) {
	t.Parallel()
	ways := reached(t, 0)
	pairs := make(map[string]bool)
	for way := range ways {
		var state, event string
		_, err := fmt.Sscan(way, &state, &event)
		require.NoError(t, err)
		pairs[state+" "+event] = true
	}
	assert.Len(t, pairs, 7*8, "states (lapsed and void ones apart) times events (erasures apart)")
	assert.GreaterOrEqual(t, len(ways), 104)
}

// reached returns the ways "state event verdict" that the random case takes.
func reached(t *testing.T, seed uint64) map[string]bool {
	t.Helper()
	ways := make(map[string]bool)
	synctest.Test(t, func(t *testing.T) {
		s := broken.New(func(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
			next, reply := store.Step(rec, event, now)
			ways[fmt.Sprintf("%s %s %q", situation(rec.Live(now), now), kind(event), reply.Verdict)] = true
			return next, reply
		})
		h := able(s, s)
		h.Seed = seed
		failure := storetest.CheckOnly(t.Context(), h, "differential/random sequences")
		require.Nil(t, failure)
	})
	return ways
}

func situation(rec store.Record, now store.Instant) string {
	switch {
	case rec.State == store.Running && rec.Lapsed(now):
		return "lapsed"
	case rec.Void:
		return "void"
	}
	return rec.State.String()
}

func kind(event store.Event) string {
	if settle, ok := event.(store.Settle); ok && settle.Erase {
		return "erase"
	}
	return event.Name()
}

// By a real clock the sequences run side by side; in a bubble that clock is
// free, too.
func TestRandomSequencesFindFaultsByARealClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const name = "differential/random sequences"
		good := storetest.Harness{Store: broken.New(store.Step)}
		assert.Nil(t, storetest.CheckOnly(t.Context(), good, name))
		bad := storetest.Harness{Store: broken.LeaseIsTTL()}
		failure := storetest.CheckOnly(t.Context(), bad, name)
		require.NotNil(t, failure)
		assert.NotEmpty(t, failure.Transcript)
	})
}

// A backend that counts its expiry in milliseconds, or a reader that has to
// add two readings, is no fault.
func TestExpiryMayBeOffByMilliseconds(t *testing.T) {
	t.Parallel()
	report := judge(t, func() storetest.Harness {
		s := broken.New(func(rec store.Record, event store.Event, now store.Instant) (store.Record, store.Reply) {
			next, reply := store.Step(rec, event, now)
			if next.Expires != rec.Expires {
				next.Expires += store.Instant((50 * time.Millisecond).Microseconds())
			}
			return next, reply
		})
		return able(s, s)
	})
	assert.Empty(t, report.Failures)
}

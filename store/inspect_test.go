package store_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/reprise-go/reprise/store"
)

func TestSightingReadsARunningRecordByTheTimeOfTheSighting(t *testing.T) {
	t.Parallel()
	running := after(claim(alice))
	for _, test := range []struct {
		name string
		rec  store.Record
		now  store.Instant
		want store.State
	}{
		{"absent", store.Record{}, t0, store.Absent},
		{"running", running, running.LeaseEnd - 1, store.Running},
		{"lapsed", running, running.LeaseEnd, store.Unknown},
		{"completed, long after its lease", answered(keep), t0.Add(keep), store.Completed},
		{"unknown", after(claim(alice), store.Fail{Attempt: attempt(alice, 1)}), t0, store.Unknown},
		{"released", after(claim(alice), store.Release{Attempt: attempt(alice, 1)}), t0.Add(lease), store.Released},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			seen := store.Sighting{Record: test.rec, Now: test.now}
			assert.Equal(t, test.want, seen.State())
			assert.Equal(t, test.rec.State, seen.Record.State, "what is stored stays as it is")
		})
	}
}

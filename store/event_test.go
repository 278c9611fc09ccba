package store_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
)

func TestEventNames(t *testing.T) {
	t.Parallel()
	for want, event := range map[string]store.Event{
		"claim": store.Claim{}, "renew": store.Renew{}, "mark": store.Mark{}, "complete": store.Complete{},
		"fail": store.Fail{}, "release": store.Release{}, "settle": store.Settle{},
	} {
		assert.Equal(t, want, event.Name())
	}
}

func TestNamesOfStatesVerdictsAndOmissions(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "absent", store.Absent.String())
	assert.Equal(t, "released", store.Released.String())
	assert.Equal(t, "invalid", (store.Released + 1).String())
	assert.Equal(t, "none", store.Verdict(0).String())
	assert.Equal(t, "claimed", store.Claimed.String())
	assert.Equal(t, "refused", store.Refused.String())
	assert.Equal(t, "invalid", (store.Refused + 1).String())
	assert.Equal(t, "kept", store.BodyKept.String())
	assert.Equal(t, "streamed", store.BodyStreamed.String())
	assert.Equal(t, "invalid", (store.BodyStreamed + 1).String())
}

func TestRunningTTLIsLeasePlusTheLongerOfRetentionAndADay(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	assert.Equal(t, day+time.Minute, store.RunningTTL(time.Minute, time.Second))
	assert.Equal(t, day+time.Minute, store.RunningTTL(time.Minute, day))
	assert.Equal(t, day+time.Minute+time.Millisecond, store.RunningTTL(time.Minute, day+time.Millisecond))
}

func TestAdoptionEndsAtConfirmedPlusWithin(t *testing.T) {
	t.Parallel()
	adoption := store.Adoption{Confirmed: 1_000_000, Within: time.Second}
	assert.True(t, adoption.Allows(1_999_999))
	assert.False(t, adoption.Allows(2_000_000))
	assert.False(t, store.Adoption{}.Allows(1))
}

func TestInstantCountsMicroseconds(t *testing.T) {
	t.Parallel()
	at := store.Instant(1_700_000_000_000_000)
	assert.Equal(t, at+1_500_000, at.Add(1500*time.Millisecond))
	assert.Equal(t, at, at.Add(999*time.Nanosecond))
	assert.Equal(t, -time.Second, at.Sub(at.Add(time.Second)))
	assert.Equal(t, "2023-11-14T22:13:20Z", at.Time().Format(time.RFC3339))
}

// valid returns one valid event of each type.
func valid() []store.Event {
	answer := store.Answer{Codec: "c"}
	return []store.Event{
		claim(alice), store.Renew{Owner: alice, Lease: time.Second, Retention: time.Second},
		store.Mark{Owner: alice}, store.Complete{Attempt: attempt(alice, 1), Answer: answer},
		store.Fail{Attempt: attempt(alice, 1)}, store.Release{Attempt: attempt(alice, 1)},
		store.Settle{Owner: alice, Retention: time.Second, Answer: &answer},
		store.Settle{Owner: alice, Retention: time.Second},
		store.Settle{Owner: alice, Retention: time.Second, Erase: true},
	}
}

func TestValidateAcceptsWhatIsRight(t *testing.T) {
	t.Parallel()
	for _, event := range valid() {
		assert.NoError(t, store.Validate(event), event.Name())
	}
	edge := claim(alice)
	edge.Operation = strings.Repeat("x", store.MaxOperationName)
	edge.Fingerprint.Algorithm = strings.Repeat("~", store.MaxWord)
	edge.Lease, edge.Retention = time.Millisecond, 10*365*24*time.Hour
	assert.NoError(t, store.Validate(edge))
}

// The suite in storetest asks stores about single fields; here is what it
// cannot see: the exact bounds, and the joining of several findings.
func TestValidateBounds(t *testing.T) {
	t.Parallel()
	const most = 10 * 365 * 24 * time.Hour
	for _, test := range []struct {
		name   string
		change func(c *store.Claim)
		want   string
	}{
		{"lease just too short", func(c *store.Claim) { c.Lease = time.Millisecond - 1 }, "Lease is 999.999µs"},
		{"lease just too long", func(c *store.Claim) { c.Lease = most + 1 }, "Lease is"},
		{"retention just too long", func(c *store.Claim) { c.Retention = most + 1 }, "Retention is"},
		{"operation a byte too long", func(c *store.Claim) { c.Operation = strings.Repeat("x", 256) }, "Operation has 256 bytes"},
		{"algorithm a byte too long", func(c *store.Claim) { c.Fingerprint.Algorithm = "123456789" }, "Fingerprint.Algorithm has 9 bytes"},
		{"algorithm with a space", func(c *store.Claim) { c.Fingerprint.Algorithm = "a b" }, "not visible ASCII"},
		{"algorithm with DEL", func(c *store.Claim) { c.Fingerprint.Algorithm = "a\x7f" }, "not visible ASCII"},
		{"take-over mode", func(c *store.Claim) { c.TakeOver = 3 }, "TakeOver is 3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			event := claim(alice)
			test.change(&event)
			err := store.Validate(event)
			require.ErrorIs(t, err, store.ErrInvalid)
			assert.ErrorContains(t, err, "claim: ")
			assert.ErrorContains(t, err, test.want)
		})
	}
}

func TestValidateNamesEveryFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	for _, event := range []store.Event{
		store.Claim{}, store.Complete{}, store.Fail{}, store.Release{},
	} {
		err := store.Validate(event)
		for _, field := range []string{"Owner", "Operation", "Fingerprint.Algorithm", "Lease", "Retention"} {
			assert.ErrorContains(t, err, field, event.Name())
		}
	}
	require.ErrorIs(t, store.Validate(nil), store.ErrInvalid)
	err := store.Validate(store.Settle{Answer: &store.Answer{Omitted: 9}})
	for _, field := range []string{"Owner", "Retention", "Answer.Codec", "Answer.Omitted"} {
		assert.ErrorContains(t, err, field)
	}
	both := store.Settle{Owner: alice, Retention: time.Second, Answer: &store.Answer{Codec: "c"}, Erase: true}
	require.ErrorIs(t, store.Validate(both), store.ErrInvalid)
	assert.ErrorContains(t, store.Validate(both), "Erase and Answer are both set")
	assert.ErrorContains(t, store.Validate(store.Fail{Attempt: attempt(alice, 1), Backoff: 10*365*24*time.Hour + 1}), "Backoff")
}

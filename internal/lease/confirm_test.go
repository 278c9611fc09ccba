package lease_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/reprise-go/reprise/internal/lease"
)

func TestConfirmationByTheHolderMovesTheDeadline(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		h := s.holdWith(1, lease.Spec{Confirmed: 7})
		pass(length / 4)
		sent := time.Now()
		s.claim(h)
		pass(time.Second)
		assert.True(t, h.Confirm(sent, 8))
		assert.Equal(t, sent.Add(length-margin), h.Deadline(), "it counts from when the command was sent")
		assert.Equal(t, int64(8), h.Confirmed())

		assert.True(t, h.Confirm(sent.Add(-time.Second), 6))
		assert.Equal(t, sent.Add(length-margin), h.Deadline(), "an older one changes nothing")
		assert.True(t, h.Confirm(sent.Add(time.Hour), 9))
		assert.Equal(t, time.Now().Add(length-margin), h.Deadline(), "one from the future lengthens nothing")
		h.finish()
	})
}

func TestConfirmationByTheHolderPutsTheRenewalOff(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		h := s.hold(1)
		for range 10 {
			pass(length / 4)
			s.claim(h)
			assert.True(t, h.Confirm(time.Now(), 0))
		}
		assert.Zero(t, s.renewed(1))
		pass(length / 2)
		assert.Equal(t, 1, s.renewed(1))
		h.finish()
	})
}

func TestConfirmationByTheHolderComesTooLate(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		over := s.hold(1)
		over.finish()
		assert.False(t, over.Confirm(time.Now(), 0))

		gone := s.hold(2)
		s.take(2)
		pass(length / 2)
		assert.Equal(t, []lease.Reason{lease.ReasonLost}, gone.reasons())
		assert.False(t, gone.Confirm(time.Now(), 0))
	})
}

func TestConfirmationByTheHolderDoesNotOutliveTheMaximumHold(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, s *stage) {
		h := s.holdWith(1, lease.Spec{MaxHold: length / 4})
		pass(length / 4)
		s.claim(h)
		assert.True(t, h.Confirm(time.Now(), 0))
		pass(2 * length)
		assert.Equal(t, []lease.Reason{lease.ReasonMaxHold}, h.reasons())
		assert.Zero(t, s.renewed(1))
	})
}

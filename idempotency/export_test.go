package idempotency

import (
	"time"

	"github.com/reprise-go/reprise/store"
)

// MaxPending is the most releases of claims that a guard keeps for later.
const MaxPending = maxPending

// Pend makes n of them wait in the background, due after a time and over by
// then. They have no event, so no store takes them.
func (g *Guard) Pend(n int, due time.Duration) {
	at := time.Now().Add(due)
	for range n {
		g.releases.add(&pending{until: at, done: func(store.Event, error) {}}, at)
	}
}

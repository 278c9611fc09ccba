package broken

import (
	"context"

	"github.com/reprise-go/reprise/store"
)

// TakeOverInTwoSteps looks whether an effect was marked, and if not, claims as
// one that may take over anything. In between, the attempt may have marked.
type TakeOverInTwoSteps struct {
	store.Store
	// Between is called between the look and the claim; it may be nil.
	Between func()
}

// Apply sends the event, a claim in two steps. Safe for concurrent use.
func (s *TakeOverInTwoSteps) Apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	claim, ok := event.(store.Claim)
	if !ok || claim.TakeOver != store.TakeOverUnmarked {
		return s.Store.Apply(ctx, id, event)
	}
	rec, err := s.Lookup(ctx, id)
	if err != nil {
		return store.Reply{}, err
	}
	if s.Between != nil {
		s.Between()
	}
	if !rec.Marked {
		claim.TakeOver = store.TakeOverAlways
	}
	return s.Store.Apply(ctx, id, claim)
}

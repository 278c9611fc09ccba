package idempotency

import (
	"context"

	"github.com/reprise-go/reprise/store"
)

// Handler is the work that a [Call] asks for, and what else the engine may want to
// know of the request: see [Operation.ExecuteHandler]. It is used for one call, and
// by no more than one goroutine at a time.
type Handler interface {
	// Handle runs, at most once for a call, and says what its answer means. The
	// context is the attempt's: see [Operation.Execute].
	Handle(ctx context.Context) Answer
	// FingerprintBy is what [Call].FingerprintBy is for.
	FingerprintBy(algorithm string) (store.Fingerprint, bool)
}

// functions is a handler that is said in functions.
type functions struct {
	handle        func(context.Context) Answer
	fingerprintBy func(algorithm string) (store.Fingerprint, bool) // may be nil
}

// Handle implements [Handler].
func (f functions) Handle(ctx context.Context) Answer { return f.handle(ctx) }

// FingerprintBy implements [Handler].
func (f functions) FingerprintBy(algorithm string) (store.Fingerprint, bool) {
	if f.fingerprintBy == nil {
		return store.Fingerprint{}, false
	}
	return f.fingerprintBy(algorithm)
}

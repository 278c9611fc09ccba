package idempotency

import (
	"sync"

	"github.com/reprise-go/reprise/store"
)

// Limits bound what a guard does at once in this process. A zero field is its
// default.
type Limits struct {
	// Waiters is how many duplicates wait in all; further ones are told at once.
	// See [Policy].MaxWaiters for those of one key. Default 50,000.
	Waiters int
	// InFlight is how many executions may be under way, those that wait
	// included; further ones get [ErrOverloaded]. Default: no limit.
	InFlight int
	// InFlightPerScope is the same for each scope; further ones get
	// [ErrScopeBusy], so that one caller cannot take up all. Default: no limit.
	InFlightPerScope int
}

const defaultWaiters = 50_000

// inFlight counts executions.
type inFlight struct {
	limits Limits

	mu      sync.Mutex
	all     int
	byScope map[store.ScopeDigest]int
}

func newInFlight(limits Limits) *inFlight {
	return &inFlight{limits: limits, byScope: make(map[store.ScopeDigest]int)}
}

// enter counts an execution in, or says why not.
func (f *inFlight) enter(scope store.ScopeDigest) (refused Code) {
	if f.limits.InFlight == 0 && f.limits.InFlightPerScope == 0 {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.limits.InFlightPerScope > 0 && f.byScope[scope] >= f.limits.InFlightPerScope:
		return ErrScopeBusy
	case f.limits.InFlight > 0 && f.all >= f.limits.InFlight:
		return ErrOverloaded
	}
	f.all++
	f.byScope[scope]++
	return ""
}

func (f *inFlight) leave(scope store.ScopeDigest) {
	if f.limits.InFlight == 0 && f.limits.InFlightPerScope == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all--
	f.byScope[scope]--
	if f.byScope[scope] == 0 {
		delete(f.byScope, scope)
	}
}

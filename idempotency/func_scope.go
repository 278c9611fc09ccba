package idempotency

import (
	"errors"

	"github.com/reprise-go/reprise/internal/tagged"
)

// GlobalScopeName is the scope of every call under [GlobalScope], for [Guard.ID]. It
// is that of routes and methods under the options of the same name, too.
const GlobalScopeName = "\x00global"

// ContextScope says that the scope of a function comes from the context of each call:
// [WithScope] has put it there. A call without one is [ErrScopeMissing], and nothing
// runs.
//
// [Wrap] and [Weave] ask for this or [GlobalScope] where the input has no field tagged
// scope. Beside such a field it changes nothing: that goes on being the scope, and one
// in the context must be the same. Nor does it change anything for [Do], which looks
// at the context in any case.
func ContextScope() FuncOption { return scopeOption("ContextScope", scopeOfContext) }

// GlobalScope says openly that all callers of a function share one scope,
// [GlobalScopeName]: whoever sends another's key and input gets the other's result. It
// is for what belongs to no tenant, such as a scheduled job. What [WithScope] says has
// no effect on the function. Beside [ContextScope], a field tagged scope, or a scope in
// the [Request] of [Do], it is an error.
func GlobalScope() FuncOption { return scopeOption("GlobalScope", scopeGlobal) }

// scopeChoice is where a function's scope comes from, beside the tags of its input.
type scopeChoice uint8

const (
	scopeUnsaid scopeChoice = iota
	scopeOfContext
	scopeGlobal
)

func scopeOption(name string, choice scopeChoice) FuncOption {
	return funcOption{name, func(set *functionSettings) error {
		if set.from != scopeUnsaid && set.from != choice {
			return errors.New("ContextScope and GlobalScope exclude each other: leave one of them out")
		}
		set.from = choice
		return nil
	}}
}

var (
	errNoScopeChosen  = errors.New("no scope: tag a field with scope, or give ContextScope or GlobalScope")
	errScopeTwice     = errors.New("GlobalScope beside a scope of the input or the request: leave one of them out")
	errNoScope        = errors.New("no scope: say one in the request or a tagged field of its input, in the context by WithScope, or give GlobalScope")
	errNoContextScope = errors.New("no scope: the context has none of WithScope, as ContextScope asks for")
)

// check finds a choice that was not made, or made twice.
func (c scopeChoice) check(plan *tagged.Plan, s signature) error {
	inInput := plan != nil && plan.HasScope()
	switch {
	case c == scopeGlobal && (inInput || s.scoped):
		return errScopeTwice
	case c == scopeUnsaid && !inInput && !s.everyCall:
		return errNoScopeChosen
	}
	return nil
}

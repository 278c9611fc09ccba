package idempotency

import (
	"errors"
	"fmt"
	"slices"

	"github.com/reprise-go/reprise/store"
)

// Replays says that the operation's transport can give answers of that codec to
// duplicates, and how it tells those that it cannot: check returns what is wrong
// with an answer, and may be nil. An answer of a codec that nobody named, or that
// check refuses, is refused by [Guard.Settle], and as a [Finding]: nobody would ever
// get it. Transports say it; without it any answer is taken. Codecs add up; one that
// is named again is checked as it was the first time.
//
// check is called on the goroutine of whoever supplies an answer, and at once for
// different ones; it must not keep the answer, nor change it.
func Replays(codec string, check func(store.Answer) error) OperationOption {
	return replayable{codec: codec, check: check}
}

// replayable is one kind of answer.
type replayable struct {
	codec string
	check func(store.Answer) error // may be nil
	// function says that it is a function's, and not a transport's.
	function bool
}

func (r replayable) operation(set *operationSettings) {
	if r.codec == "" {
		set.err = errors.Join(set.err, errors.New("Replays: a codec's name is empty"))
	}
	set.replays = append(set.replays, r)
}

// takes says why an answer that no handler gave is none for this operation.
func (o *Operation) takes(answer store.Answer) error {
	known := o.replayables()
	if known == nil {
		return nil
	}
	i := slices.IndexFunc(known, replayable{codec: answer.Codec}.same)
	if i < 0 {
		return fmt.Errorf("idempotency: %w: the answers of operation %q are %q, not %q",
			store.ErrInvalid, o.name, codecsOf(known), answer.Codec)
	}
	if known[i].check == nil {
		return nil
	}
	if err := known[i].check(answer); err != nil {
		return fmt.Errorf("idempotency: %w: it is no answer of operation %q: %w", store.ErrInvalid, o.name, err)
	}
	return nil
}

func (r replayable) same(other replayable) bool { return r.codec == other.codec }

func codecsOf(known []replayable) []string {
	names := make([]string, len(known))
	for i, r := range known {
		names[i] = r.codec
	}
	return names
}

// replayables are what is said; nil for any.
func (o *Operation) replayables() []replayable {
	if known := o.replays.Load(); known != nil {
		return *known
	}
	return nil
}

// sharedWith returns why an operation that is a transport's or a function's cannot be
// the other one's, too: each would find records that it cannot read.
func (o *Operation) sharedWith(said []replayable) error {
	known := o.replayables()
	if len(known) == 0 || len(said) == 0 || known[0].function == said[0].function {
		return nil
	}
	if said[0].function {
		return fmt.Errorf("idempotency: operation %q is a route's or a method's: give the function a name of its own", o.name)
	}
	return fmt.Errorf("idempotency: operation %q is a wrapped function's: give the route or the method a name "+
		"of its own, and switch its protection off if the function is all that it calls", o.name)
}

// answers are those of a function.
func (f *function) answers() replayable {
	return replayable{codec: f.codec.Name(), check: checkFunctionAnswer, function: true}
}

// addAnswers is for functions, which may be made for one call each.
func (g *Guard) addAnswers(op *Operation, said replayable) error {
	known := func(r replayable) bool { return r.function && r.same(said) }
	if slices.ContainsFunc(op.replayables(), known) {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := op.sharedWith([]replayable{said}); err != nil {
		return err
	}
	op.addReplays([]replayable{said})
	return nil
}

// isFunction reports whether a function has the operation.
func (o *Operation) isFunction() bool {
	known := o.replayables()
	return len(known) > 0 && known[0].function
}

// addReplays is called under the guard's lock.
func (o *Operation) addReplays(said []replayable) {
	known := slices.Clone(o.replayables()) // others read the old list
	for _, r := range said {
		if !slices.ContainsFunc(known, r.same) {
			known = append(known, r)
		}
	}
	if len(known) > 0 {
		o.replays.Store(&known)
	}
}

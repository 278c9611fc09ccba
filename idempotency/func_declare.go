package idempotency

import (
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/reprise-go/reprise/internal/tagged"
)

// signature is what a function takes and gives, and what is said of it beside options.
type signature struct {
	in, out reflect.Type // in: nil if there is none
	tag     *Policy      // of [Weave], over the options'
	// everyCall says that it is declared anew by each call, as [Do] does; scoped, that
	// the call says its scope.
	everyCall, scoped bool
}

// declared is a function whose operation is not registered yet.
type declared struct {
	*function

	name string
	set  operationSettings
}

// declareOwn makes a function that has its operation's name for itself from now on.
func (g *Guard) declareOwn(operation string, s signature, opts []OperationOption) (declared, error) {
	if err := g.plans.claim(operation); err != nil {
		return declared{}, err
	}
	f, rest, err := g.newFunction(s, opts)
	if err != nil {
		g.plans.release(operation)
		return declared{}, err
	}
	d, err := g.declare(operation, &f, rest)
	if err != nil {
		g.plans.release(operation)
		return declared{}, err
	}
	return d, nil
}

// registerOwn declares one function and registers its operation.
func (g *Guard) registerOwn(operation string, s signature, opts []OperationOption) (*function, error) {
	d, err := g.declareOwn(operation, s, opts)
	if err != nil {
		return nil, err
	}
	if err := g.register(d); err != nil {
		g.plans.release(operation)
		return nil, err
	}
	return d.function, nil
}

// declare finds all that is wrong with a function and the options of its operation,
// before anything is registered.
func (g *Guard) declare(operation string, f *function, opts []OperationOption) (declared, error) {
	set, err := g.checkOperation(operation, append(opts, f.answers()))
	if err != nil {
		return declared{}, err
	}
	return declared{f, operation, set}, f.checkInput(&set.policy)
}

// register registers the operations of functions, all or none. It fails only where
// another goroutine has registered one since it was declared.
func (g *Guard) register(functions ...declared) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range functions {
		if err := g.operations[f.name].agrees(f.name, f.set); err != nil {
			return err
		}
	}
	for _, f := range functions {
		f.op = g.enroll(f.name, f.set)
	}
	return nil
}

// newFunction makes a function without an operation, and returns the options that are
// for that one.
func (g *Guard) newFunction(s signature, opts []OperationOption) (f function, rest []OperationOption, err error) {
	set, rest, err := splitOptions(opts, s.tag)
	if err != nil {
		return f, nil, err
	}
	f = function{codec: set.codec, names: set.names, from: set.from}
	if s.in != nil {
		if f.plan, err = g.plans.of(s.in); err != nil {
			return f, nil, err
		}
	}
	return f, rest, errors.Join(f.from.check(f.plan, s), g.plans.checkResult(f.codec, s.out))
}

// checkInput finds what of a policy no input of the function's type could meet, or
// what its tags gainsay.
func (f *function) checkInput(p *Policy) error {
	if f.plan == nil || p.Key == KeyOff {
		return nil
	}
	var errs []error
	if number, field := f.plan.NumberKey(); number != nil && p.KeyFormat != KeyAny {
		errs = append(errs, fmt.Errorf("KeyFormat is %q, and the key %s is never a UUID: its type is %v", p.KeyFormat, field, number))
	}
	if f.plan.Chooses() && p.Fingerprint == FingerprintOff {
		errs = append(errs, fmt.Errorf("Fingerprint is %q, and the tags of %s say what counts: leave one of them out",
			p.Fingerprint, f.plan.TypeName()))
	}
	return errors.Join(errs...)
}

// splitOptions takes the options of the function from those of its operation. The
// policy of a tag is over that of the options.
func splitOptions(opts []OperationOption, tag *Policy) (functionSettings, []OperationOption, error) {
	if len(opts) == 0 && tag == nil { // most calls of Do; what follows allocates
		return functionSettings{codec: JSONCodec()}, nil, nil
	}
	var (
		set    functionSettings
		rest   []OperationOption
		policy *Policy
	)
	for _, opt := range opts {
		if opt == nil {
			return set, nil, errors.New("a nil option")
		}
		switch opt := opt.(type) {
		case FuncOption:
			opt.function(&set)
		case Policy:
			set.err = errors.Join(set.err, opt.checkFirst(policy))
			policy = &opt
		default:
			rest = append(rest, opt)
		}
	}
	for _, p := range []*Policy{policy, tag} {
		if p != nil {
			set.err = errors.Join(set.err, p.checkFunction())
			rest = append(rest, *p)
		}
	}
	if set.codec == nil {
		set.codec = JSONCodec()
	}
	return set, rest, set.err
}

// checkFirst finds a second policy among the options: which one is to win where both
// say something, only their author knows.
func (p Policy) checkFirst(before *Policy) error {
	if before == nil {
		return nil
	}
	return fmt.Errorf("two policies, %q and %q: say one, or merge them by Policy.Override", *before, p)
}

// checkFunction finds what a policy says that only a transport could do.
func (p Policy) checkFunction() error {
	const byTags = "what counts of a function's input, its struct's tags say"
	said := []struct {
		field string
		is    bool
		why   string
	}{
		{"Conflict", p.Conflict != "" && p.Conflict != Conflict409, "a function's caller gets an error"},
		{"Fingerprint", p.Fingerprint == FingerprintJSON, byTags},
		{"FingerprintExclude", len(p.FingerprintExclude) > 0, byTags},
		{"FingerprintHeaders", len(p.FingerprintHeaders) > 0, byTags},
		{"FingerprintOnly", len(p.FingerprintOnly) > 0, byTags},
		{"Headers", len(p.Headers) > 0, "functions have none"},
		{"MaxRequestBody", p.MaxRequestBody != 0, "a function's input is there already"},
		{"Stream", p.Stream == StreamPass, "a function's result is recorded as a whole"},
	}
	var errs []error
	for _, s := range said {
		if s.is {
			errs = append(errs, fmt.Errorf("%s is for HTTP; %s", s.field, s.why))
		}
	}
	return errors.Join(errs...)
}

// checkEffect finds words of a tag that nothing would follow, under the whole policy that
// they are part of. A [Policy] among the options may have them: it may be computed, and
// be switched off or told not to wait by a flag.
func (p Policy) checkEffect(whole Policy) error {
	more := p
	more.Key = ""
	switch {
	case p.Key == KeyOff && more.String() != "":
		return errors.New(`"off" stands with other words, which would have no effect: say "off" alone, or what protects it`)
	case whole.Key == KeyOff && more.String() != "":
		return errors.New(`the guard's or the options' policy is "off", so that these words would have no effect: ` +
			`say "required" or "optional" as well, or "off" alone`)
	case p.MaxWaiters != 0 && whole.Wait == NoWait:
		return errors.New(`"max-waiters" without "wait" would have no effect: nobody waits`)
	}
	return nil
}

// plans are made once for a type. They also know which operations are functions'.
type plans struct {
	known     sync.Map // of reflect.Type: *tagged.Plan
	results   sync.Map // of reflect.Type: JSONCodec records it
	functions sync.Map // of the operation's name
}

// claim takes an operation's name for one function: two that share one would give
// each other's results to retries.
func (p *plans) claim(operation string) error {
	if _, taken := p.functions.LoadOrStore(operation, struct{}{}); taken {
		return fmt.Errorf("operation %q is another function's, or this one is protected twice", operation)
	}
	return nil
}

func (p *plans) release(operation string) { p.functions.Delete(operation) }

func (p *plans) of(t reflect.Type) (*tagged.Plan, error) {
	if plan, ok := p.known.Load(t); ok {
		return plan.(*tagged.Plan), nil //nolint:errcheck // nothing else is stored
	}
	plan, err := tagged.OfWhole(t)
	if err != nil {
		return nil, err
	}
	p.known.Store(t, plan)
	return plan, nil
}

// checkResult asks the codec whether it records such results. What JSON says is kept,
// since Do asks again at each call.
func (p *plans) checkResult(codec Codec, t reflect.Type) error {
	checker, ok := codec.(TypeChecker)
	if !ok {
		return nil
	}
	_, isJSON := codec.(jsonCodec)
	if _, known := p.results.Load(t); isJSON && known {
		return nil
	}
	if err := checker.CheckType(t); err != nil {
		return fmt.Errorf("the result cannot be recorded: %w", err)
	}
	if isJSON {
		p.results.Store(t, struct{}{})
	}
	return nil
}

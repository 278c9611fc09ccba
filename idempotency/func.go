package idempotency

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/reprise-go/reprise/internal/tagged"
)

// FuncOption is an option of [Do], [Wrap] and [Weave]. They take those of an
// operation, too; [Guard.Operation] does not take these.
type FuncOption interface {
	OperationOption
	function(set *functionSettings)
}

type functionSettings struct {
	codec Codec
	names errorNames
	from  scopeChoice // of its scope
	err   error       // what is wrong with the options
}

type funcOption struct {
	name  string
	apply func(*functionSettings) error
}

func (o funcOption) function(set *functionSettings) {
	set.err = errors.Join(set.err, o.apply(set))
}

func (o funcOption) operation(set *operationSettings) {
	set.err = errors.Join(set.err, fmt.Errorf("%s is for Do, Wrap and Weave", o.name))
}

// WithCodec sets how results are recorded. Default [JSONCodec]. A record that another
// codec made is [ErrResultUnavailable] to duplicates, never a second run.
func WithCodec(c Codec) FuncOption {
	return funcOption{"WithCodec", func(set *functionSettings) error {
		set.codec = c
		return checkCodec(c)
	}}
}

// ErrorNames gives errors stable names, so that errors.Is finds them in the error
// that a duplicate gets, as the first caller found them: the record keeps the names
// of all that the error wraps. A name that this process does not know, since another
// version recorded it, is skipped. Given several times, the names add up.
func ErrorNames(names map[string]error) FuncOption {
	names = maps.Clone(names)
	return funcOption{"ErrorNames", func(set *functionSettings) error { return set.names.add(names) }}
}

// errorNames are errors by name, sorted.
type errorNames struct {
	names []string
	errs  map[string]error
}

func (n *errorNames) add(names map[string]error) error {
	var wrong []error
	all := maps.Clone(n.errs)
	if all == nil {
		all = make(map[string]error, len(names))
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		before, given := all[name]
		switch {
		case name == "":
			wrong = append(wrong, errors.New("ErrorNames: a name is empty"))
		case names[name] == nil:
			wrong = append(wrong, fmt.Errorf("ErrorNames: %q has no error", name))
		case given && !reflect.DeepEqual(before, names[name]):
			wrong = append(wrong, fmt.Errorf("ErrorNames: %q is given twice", name))
		}
		all[name] = names[name]
	}
	n.errs, n.names = all, slices.Sorted(maps.Keys(all))
	return errors.Join(wrong...)
}

// of returns the names of all errors that err is.
func (n *errorNames) of(err error) []string {
	var found []string
	for _, name := range n.names {
		if errors.Is(err, n.errs[name]) {
			found = append(found, name)
		}
	}
	return found
}

// function is a protected function. Safe for concurrent use.
type function struct {
	op    *Operation
	plan  *tagged.Plan // of its input
	codec Codec
	names errorNames
	from  scopeChoice // of its scope
}

// signature is what a function takes and gives.
type signature struct {
	in, out reflect.Type // in: nil if there is none
	request *Request     // of Do; nil for a function that is declared once
}

// newOwnFunction makes a function that has its operation's name for itself.
func newOwnFunction(g *Guard, operation string, s signature, opts []OperationOption) (*function, error) {
	if err := g.plans.claim(operation); err != nil {
		return nil, err
	}
	f, err := newFunction(g, s, opts, func(rest []OperationOption) (*Operation, error) {
		return g.Operation(operation, rest...)
	})
	if err != nil {
		g.plans.release(operation)
	}
	return f, err
}

// newFunction makes a protected function. Nothing is registered after a mistake.
func newFunction(
	g *Guard, s signature, opts []OperationOption, register func([]OperationOption) (*Operation, error),
) (*function, error) {
	set, rest, err := splitOptions(opts)
	if err != nil {
		return nil, err
	}
	f := &function{codec: set.codec, names: set.names, from: set.from}
	if s.in != nil {
		if f.plan, err = g.plans.of(s.in); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(f.from.check(f.plan, s.request), g.plans.checkResult(f.codec, s.out)); err != nil {
		return nil, err
	}
	if f.op, err = register(rest); err != nil {
		return nil, err
	}
	if err := f.op.ofTransport(); err != nil {
		return nil, err
	}
	g.addCodec(f.op, f.codec.Name())
	return f, nil
}

// splitOptions takes the options of the function from those of its operation.
func splitOptions(opts []OperationOption) (functionSettings, []OperationOption, error) {
	if len(opts) == 0 { // most calls of Do; what follows allocates
		return functionSettings{codec: JSONCodec()}, nil, nil
	}
	set := functionSettings{codec: JSONCodec()}
	var rest []OperationOption
	for _, opt := range opts {
		if opt == nil {
			return set, nil, errors.New("a nil option")
		}
		if option, ok := opt.(FuncOption); ok {
			option.function(&set)
			continue
		}
		if p, ok := opt.(Policy); ok {
			set.err = errors.Join(set.err, p.checkFunction())
		}
		rest = append(rest, opt)
	}
	return set, rest, set.err
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

func (p *plans) has(operation string) bool {
	_, taken := p.functions.Load(operation)
	return taken
}

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

type scopeKey struct{}
type keyKey struct{}

// WithScope returns a context with the scope for the protected functions that are
// called under it, where their input has none; see [ContextScope]. A middleware that
// knows the tenant calls it once. An empty scope is none.
func WithScope(ctx context.Context, scope string) context.Context {
	return context.WithValue(ctx, scopeKey{}, scope)
}

// WithKey returns a context with the idempotency key for the protected function that
// is called with it, where its input has none; see [Wrap]. The function itself does
// not see it: what it calls has keys of its own, such as [Info.DownstreamKey].
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyKey{}, key)
}

// withoutKey is for the function itself: the key is that of its call, and not of
// calls which it makes.
func withoutKey(ctx context.Context) context.Context {
	if textFrom(ctx, keyKey{}) == "" {
		return ctx
	}
	return WithKey(ctx, "")
}

func textFrom(ctx context.Context, key any) string {
	text, _ := ctx.Value(key).(string)
	return text
}

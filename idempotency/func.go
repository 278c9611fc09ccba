package idempotency

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/reprise-go/reprise/internal/tagged"
)

// FuncOption is an option of [Do], [Wrap] and [Weave]. They take those of an
// operation, too, with one [Policy] at most: two are an error, and [Policy.Override]
// merges them. [Guard.Operation] does not take these.
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
// codec made is [ErrResultUnavailable] to duplicates, never a second run. Given twice it
// is an error.
func WithCodec(c Codec) FuncOption {
	return funcOption{"WithCodec", func(set *functionSettings) error {
		if set.codec != nil {
			return errors.New("WithCodec is given twice")
		}
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
		case given && !sameError(before, names[name]):
			wrong = append(wrong, fmt.Errorf("ErrorNames: %q is given twice", name))
		}
		all[name] = names[name]
	}
	if len(all) > maxNames {
		wrong = append(wrong, fmt.Errorf("ErrorNames: %d names are more than %d", len(all), maxNames))
	}
	n.errs, n.names = all, slices.Sorted(maps.Keys(all))
	return errors.Join(wrong...)
}

// sameError is == for errors, some of which Go cannot compare.
func sameError(a, b error) bool {
	if reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() {
		return a == b //nolint:errorlint // whether it is the very same
	}
	return reflect.DeepEqual(a, b)
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

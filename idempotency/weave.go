package idempotency

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/reprise-go/reprise/internal/nearest"
	"github.com/reprise-go/reprise/internal/tagged"
)

// Weave protects the functions of a struct: each field that is a function is replaced
// by what [Wrap] would make of it. Its tag says the operation's name, and then its
// policy in the words of [ParsePolicy]:
//
//	type Payments struct {
//		Create func(context.Context, *CreatePayment) (*Payment, error) `idempotency:"payments.create,required,retention=1h"`
//		Get    func(context.Context, string) (*Payment, error)         `idempotency:"-"`
//	}
//	svc := Payments{Create: createPayment, Get: getPayment}
//	err := idempotency.Weave(guard, &svc)
//
// Every exported function must have a tag; "-" leaves it as it is. "off" stands alone
// beside the name, and "max-waiters" beside a "wait": other words would have no effect.
// Structs in the
// struct, embedded or not, and behind pointers are woven, too; a function that could be
// protected, or a tag, in a slice, a map, an interface or behind a nil pointer is an
// error. Options apply to all functions; a policy among them comes
// before the tags', which override it. [ContextScope] is for those whose input has no
// field tagged scope. [GlobalScope] is an error where one has: weave such functions in
// a struct of their own.
//
// All mistakes are joined. Each names the field, as Type.Field, and the word: no
// tag, a tag on what is no function or not exported, a name that is missing or given
// twice, a function that is nil or has another form, words that [ParsePolicy] or
// [Policy.Validate] refuse, an input, a scope or a result as for Wrap. After a mistake no
// function is replaced and no operation registered. Weave before the struct is used: it
// is not safe beside calls.
func Weave(g *Guard, structPointer any, opts ...OperationOption) error {
	v := reflect.ValueOf(structPointer)
	switch {
	case g == nil:
		return errors.New("idempotency: Weave: the guard is nil")
	case v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct:
		return fmt.Errorf("idempotency: Weave: %T is no pointer to a struct of functions", structPointer)
	}
	w := weaver{guard: g, opts: opts, names: make(map[string]string)}
	w.collect(v.Elem(), typeName(v.Elem().Type()))
	if len(w.threads)+len(w.errs) == 0 {
		w.errs = append(w.errs, fmt.Errorf("%s has no function with a tag", typeName(v.Elem().Type())))
	}
	if err := w.register(); err != nil {
		w.release()
		return fmt.Errorf("idempotency: Weave: %w", err)
	}
	for _, t := range w.threads {
		t.field.Set(t.protected())
	}
	return nil
}

// weaver goes over one struct.
type weaver struct {
	guard   *Guard
	opts    []OperationOption
	names   map[string]string // operation: its field
	threads []thread
	seen    []location // of structs
	errs    []error
}

// location is where a struct is: its first field, if a struct, is at the same address.
type location struct {
	of reflect.Type
	at uintptr
}

// thread is one function to be protected.
type thread struct {
	name   string // Type.Field
	field  reflect.Value
	opName string
	policy Policy
	f      *function // nil after a mistake
}

func (w *weaver) fail(name string, err error) {
	w.errs = append(w.errs, fmt.Errorf("%s: %w", name, err))
}

// collect finds the functions of a struct and reads their tags, once.
func (w *weaver) collect(v reflect.Value, above string) {
	t := v.Type()
	here := location{t, v.Addr().Pointer()}
	if slices.Contains(w.seen, here) {
		return
	}
	w.seen = append(w.seen, here)
	if t.Name() != "" {
		above = t.Name()
	}
	for i := range t.NumField() {
		w.field(t.Field(i), v.Field(i), above+"."+t.Field(i).Name)
	}
}

func (w *weaver) field(field reflect.StructField, v reflect.Value, name string) {
	tag, hasTag := field.Tag.Lookup("idempotency")
	reachable := field.IsExported() || field.Anonymous
	if err := tagged.CheckTag(field.Tag); err != nil {
		w.fail(name, err)
		return
	}
	switch {
	case hasTag && !field.IsExported():
		w.fail(name, fmt.Errorf("idempotency:%q: the field is not exported", tag))
	case tag == "-":
	case field.Type.Kind() == reflect.Func && field.IsExported():
		w.function(name, v, tag)
	case hasTag:
		w.fail(name, fmt.Errorf("idempotency:%q: %s is no function", tag, field.Type))
	case field.Type.Kind() == reflect.Struct && reachable:
		w.collect(v, name)
	case field.Type.Kind() == reflect.Func:
	default:
		w.behind(name, v, reachable)
	}
}

// behind goes on behind a pointer, where there is something to protect, and finds what
// would stay unprotected in silence.
func (w *weaver) behind(name string, v reflect.Value, reachable bool) {
	t := v.Type()
	if t.Kind() == reflect.Interface && !v.IsNil() {
		t = v.Elem().Type()
	}
	if !protects(t, reachable, nil) {
		return
	}
	direct := v.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct && reachable
	switch {
	case !direct:
		w.fail(name, fmt.Errorf("%s holds functions to protect, which Weave does not reach; say idempotency:\"-\" if they are not to be", t))
	case v.IsNil():
		w.fail(name, fmt.Errorf("%s holds functions to protect, and it is nil", t))
	default:
		w.collect(v.Elem(), name)
	}
}

// protects reports whether a type holds, at any depth, a field with a tag, or if
// functions count, an exported function that could be protected.
func protects(t reflect.Type, functions bool, open []reflect.Type) bool {
	if slices.Contains(open, t) {
		return false
	}
	open = append(slices.Clip(open), t)
	switch t.Kind() {
	case reflect.Func:
		return functions && isProtectable(t)
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return protects(t.Elem(), functions, open)
	case reflect.Struct:
		for field := range t.Fields() {
			if protectsIn(field, functions, open) {
				return true
			}
		}
	default:
	}
	return false
}

func protectsIn(field reflect.StructField, functions bool, open []reflect.Type) bool {
	tag, hasTag := field.Tag.Lookup("idempotency")
	if hasTag && field.Type.Kind() == reflect.Func {
		return tag != "-"
	}
	reachable := field.IsExported() || field.Anonymous
	return tag != "-" && reachable && protects(field.Type, functions, open)
}

// function reads the tag of one.
func (w *weaver) function(name string, field reflect.Value, tag string) {
	opName, words, more := strings.Cut(tag, ",")
	opName = strings.TrimSpace(opName)
	meant := keyRuleLike(opName)
	policy, err := ParsePolicy(words)
	switch {
	case tag == "":
		err = errors.New(`it has no tag idempotency:"operation,policy"; say idempotency:"-" if it is not to be protected`)
	case opName == "":
		err = fmt.Errorf("idempotency:%q: the first word is the operation's name, and it is empty", tag)
	case isPolicyWord(opName):
		err = fmt.Errorf("idempotency:%q: the operation's name comes first, and %q is a word of a policy", tag, opName)
	case strings.ContainsFunc(opName, unicode.IsSpace):
		err = fmt.Errorf("idempotency:%q: the operation's name comes first, and %q has a space in it", tag, opName)
	case opName == "-":
		err = fmt.Errorf("idempotency:%q: \"-\" stands alone", tag)
	case meant != "":
		err = fmt.Errorf("idempotency:%q: the operation's name comes first, and %q looks like the policy's %q; "+
			"give it a name like \"payments.create\"", tag, opName, meant)
	case more && strings.TrimSpace(words) == "":
		err = fmt.Errorf("idempotency:%q: nothing follows the comma", tag)
	case w.names[opName] != "":
		err = fmt.Errorf("idempotency:%q: operation %q is that of %s", tag, opName, w.names[opName])
	case err != nil:
		err = fmt.Errorf("idempotency:%q, after the operation's name: %w", tag, err)
	case !isProtectable(field.Type()):
		err = fmt.Errorf("%s is not func(context.Context, In) (Out, error)", field.Type())
	case field.IsNil():
		err = errors.New("the function is nil")
	}
	if err != nil {
		w.fail(name, err)
		return
	}
	w.names[opName] = name
	w.threads = append(w.threads, thread{name: name, field: field, opName: opName, policy: policy})
}

func isPolicyWord(word string) bool {
	_, err := ParsePolicy(word)
	return err == nil || strings.Contains(word, "=")
}

// keyRuleLike returns the key rule that a name probably is, misspelt; or "".
func keyRuleLike(name string) string {
	if strings.Contains(name, ".") {
		return ""
	}
	name = strings.ToLower(name)
	for _, rule := range []KeyRule{KeyRequired, KeyOptional, KeyOff, KeyShadow} {
		if nearest.Distance(name, string(rule)) <= min(2, len(rule)/3) {
			return string(rule)
		}
	}
	return ""
}

func isProtectable(t reflect.Type) bool {
	return !t.IsVariadic() && t.NumIn() == 2 && t.In(0) == reflect.TypeFor[context.Context]() &&
		t.NumOut() == 2 && t.Out(1) == reflect.TypeFor[error]()
}

// register registers the operations, all or none: what was wrong can be mended then, and
// woven.
func (w *weaver) register() error {
	all := make([]declared, len(w.threads))
	for i := range w.threads {
		t := &w.threads[i]
		typ := t.field.Type()
		f, err := w.guard.declareOwn(t.opName, signature{in: typ.In(1), out: typ.Out(0), tag: &t.policy}, w.opts)
		if err == nil {
			err = t.policy.checkEffect(f.set.policy)
		}
		if err != nil {
			w.fail(t.name, err)
		}
		all[i], t.f = f, f.function
	}
	if err := errors.Join(w.errs...); err != nil {
		return err
	}
	return w.guard.register(all...)
}

// release gives the names back.
func (w *weaver) release() {
	for _, t := range w.threads {
		if t.f != nil {
			w.guard.plans.release(t.opName)
		}
	}
}

// typeName names a struct in errors: the text of one without a name is all of its source.
func typeName(t reflect.Type) string {
	if t.Name() == "" {
		return "struct"
	}
	return t.String()
}

// protected returns the function that takes the field's place.
func (t thread) protected() reflect.Value {
	typ, f := t.field.Type(), t.f
	fn := reflect.ValueOf(t.field.Interface()) // a copy: the field is about to change
	return reflect.MakeFunc(typ, func(args []reflect.Value) []reflect.Value {
		ctx, _ := reflect.TypeAssert[context.Context](args[0])
		call := &woven{fn: fn, in: args[1], result: reflect.New(typ.Out(0))}
		call.invocation = invocation{function: f, input: held(args[1]), out: call.result.Interface(), body: call}
		result, err := call.do(ctx)
		return call.handedOut(result, err)
	})
}

// woven is a call of a woven function, in one piece with what reflection asks for.
type woven struct {
	invocation

	fn, in, result reflect.Value
	returned       error
	results        [2]reflect.Value
}

func (c *woven) call(ctx context.Context) error {
	results := c.fn.Call([]reflect.Value{reflect.ValueOf(&ctx).Elem(), c.in})
	c.result.Elem().Set(results[0])
	err, _ := reflect.TypeAssert[error](results[1])
	return err
}

func (c *woven) handedOut(result Result, err error) []reflect.Value {
	if err != nil && !result.own() {
		c.result.Elem().SetZero() // as for Wrap
	}
	c.returned = err
	c.results = [2]reflect.Value{c.result.Elem(), reflect.ValueOf(&c.returned).Elem()}
	return c.results[:]
}

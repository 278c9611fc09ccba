package idemhttp

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"github.com/reprise-go/reprise/idempotency"
)

// tableRoute is a handler of a table and what is said about it.
type tableRoute struct {
	name      string // Type.Field, for errors
	path      string // Field, as [ForRoute] has it
	pattern   string
	operation string
	handler   http.Handler

	inherited idempotency.Policy // from the table and its structs
	own       idempotency.Policy // of the field's tag
	tagged    bool               // there is one
	named     bool               // by a tag: its operation is not called by the pattern
	options   []idempotency.OperationOption
}

func (r *tableRoute) wrong(format string, args ...any) error {
	return fmt.Errorf("idemhttp: %s: "+format, append([]any{r.name}, args...)...)
}

func (r *tableRoute) method() string {
	method, _, _ := cutPattern(r.pattern)
	return method
}

func (r *tableRoute) safe() bool { return isSafe(r.method()) }

// allOptions are what the table says about the route's protection. A method that
// changes nothing inherits nothing.
func (r *tableRoute) allOptions() []idempotency.OperationOption {
	policy := r.inherited.Override(r.own)
	if r.safe() {
		policy = r.own
	}
	return append([]idempotency.OperationOption{policy}, r.options...)
}

func (r *tableRoute) said() idempotency.Policy { return saidIn(r.allOptions()) }

func (r *tableRoute) declared() bool { return !saidNothing(r.said()) }

func (r *tableRoute) mustProtect() bool {
	return r.declared() && r.said().Key != idempotency.KeyOff
}

// mounting is what the table says, once it has been checked.
func (r *tableRoute) mounting() mounting {
	m := mounting{
		pattern: r.pattern, handler: r.handler, opts: r.allOptions(),
		wrong: func(err error) error { return r.wrong("%w", err) },
	}
	if r.declared() {
		m.operation = r.operation
	}
	return m
}

func saidNothing(p idempotency.Policy) bool {
	return reflect.DeepEqual(p, idempotency.Policy{})
}

// tableReader walks a table.
type tableReader struct {
	routes []*tableRoute
	groups []tableGroup // the table itself first
	errs   []error
}

// tableGroup is a struct of a table and what its routes inherit.
type tableGroup struct {
	name   string // for errors
	path   string // "" for the table itself
	prefix string
	own    idempotency.Policy // of its tag
	policy idempotency.Policy
	within []reflect.Type // the structs around it, itself included
}

func (g tableGroup) wrong(f reflect.StructField, format string, args ...any) error {
	return fmt.Errorf("idemhttp: %s.%s: "+format, append([]any{g.name, f.Name}, args...)...)
}

// readTable returns the routes of a table in the order of their fields, and its groups.
// All of them inherit a policy.
func readTable(table any, policy idempotency.Policy) (*tableReader, error) {
	v := reflect.ValueOf(table)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return nil, fmt.Errorf("idemhttp: Mount: the table is %s, not a struct or a pointer to one", describeTable(table))
	}
	name := v.Type().Name()
	if name == "" {
		name = "table"
	}
	t := new(tableReader)
	t.group(tableGroup{name: name, own: policy, policy: policy, within: []reflect.Type{v.Type()}}, v)
	if len(t.errs) == 0 && len(t.routes) == 0 {
		return nil, fmt.Errorf("idemhttp: %s: it has no routes", name)
	}
	return t, errors.Join(t.errs...)
}

func describeTable(table any) string {
	v := reflect.ValueOf(table)
	if !v.IsValid() {
		return "nil"
	}
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return "a nil " + v.Type().String()
	}
	return "a " + v.Type().String()
}

func (t *tableReader) fail(err error) { t.errs = append(t.errs, err) }

func (t *tableReader) group(g tableGroup, v reflect.Value) {
	t.groups = append(t.groups, g)
	for f, value := range v.Fields() {
		tags, err := readTableTags(f)
		if err != nil {
			t.fail(g.wrong(f, "%w", err))
			continue
		}
		t.field(g, f, value, tags)
	}
}

func (t *tableReader) field(g tableGroup, f reflect.StructField, v reflect.Value, tags tableTags) {
	held := heldType(f, v)
	within := hasRoutes(held, nil)
	concerned := tags.any() || within
	// The routes of an embedded struct can be read, whatever its own name.
	reachable := f.IsExported() || f.Anonymous && structOf(f.Type) != nil
	switch {
	case !reachable && !concerned:
		return // the program's own business
	case !reachable:
		t.fail(g.wrong(f, "%w", errUnexported))
	case isHandlerType(f.Type) && within && embedsHandler(f.Type):
		t.fail(g.wrong(f, "%w", errHandlerGroup))
	case isHandlerType(f.Type):
		t.handler(g, f, v, tags)
	case concerned || holdsHandlers(f.Type, held):
		t.nested(g, f, v, tags)
	}
}

var (
	errUnexported = errors.New("it has tags or routes, but is not exported, so that nobody can read it")
	errNoRoute    = errors.New(`a handler without a route: say where it goes, as route:"POST /path"`)
	errByValue    = errors.New("its type is no http.Handler, but a pointer to it is: make the field a pointer")
	errNoGroup    = errors.New("it has tags, but is neither a handler nor a struct with routes")
	errContainer  = errors.New("it holds handlers, or structs with routes, of which none is mounted: " +
		"give each a field of its own, of the handler's type, or of the struct or a pointer to it")
	errHandlerGroup = errors.New("it is a handler, by what it embeds, so that the routes in it would not be mounted: " +
		"give the embedded handler a name and a route")
	errTypedFunc = errors.New("a function from a request to an answer is no handler: " +
		"wrap it in idemhttp.JSON and make the field http.Handler")
	errOffAndMore  = errors.New(`"off" stands with other words, which would have no effect: say "off" alone, or what protects it`)
	errNobodyWaits = errors.New(`"max-waiters" without "wait" would have no effect: nobody waits`)
	errOffByGuard  = errors.New(`the guard's policy is "off", so that these words would have no effect: ` +
		`say "required" or "optional" as well, or "off" alone`)
)

// handler reads a handler of the table.
func (t *tableReader) handler(g tableGroup, f reflect.StructField, v reflect.Value, tags tableTags) {
	r := &tableRoute{name: g.name + "." + f.Name, path: g.path + f.Name, inherited: g.policy}
	if !tags.hasRoute {
		t.fail(g.wrong(f, "%w", errNoRoute))
		return
	}
	var errs [3]error
	r.pattern, errs[0] = joinPattern(g.prefix, tags.route)
	r.handler, errs[1] = handlerIn(v)
	r.own, errs[2] = tags.parsePolicy()
	r.tagged, r.named, r.operation = tags.hasPolicy, tags.hasOperation, tags.operation
	if !r.named {
		r.operation = r.pattern
	}
	if err := errors.Join(errs[:]...); err != nil {
		t.fail(g.wrong(f, "%w", err))
		return
	}
	t.routes = append(t.routes, r)
}

// nested reads a struct within the table.
func (t *tableReader) nested(g tableGroup, f reflect.StructField, v reflect.Value, tags tableTags) {
	inner, err := g.inner(f, heldType(f, v), tags)
	if err != nil {
		t.fail(g.wrong(f, "%w", err))
		return
	}
	if v.Kind() == reflect.Pointer && v.IsNil() {
		t.fail(g.wrong(f, "the pointer is nil, so that its routes have no handlers"))
		return
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	t.group(inner, v)
}

// inner returns the group that a field is. held is what it holds, if it is an interface.
func (g tableGroup) inner(f reflect.StructField, held reflect.Type, tags tableTags) (tableGroup, error) {
	of := structOf(f.Type)
	switch {
	case isHandlerType(reflect.PointerTo(f.Type)):
		return g, errByValue
	case isTypedFunc(f.Type):
		return g, errTypedFunc
	case of == nil && (hasRoutes(held, nil) || holdsHandlers(f.Type, held)):
		return g, errContainer
	case of == nil || !hasRoutes(of, nil):
		return g, errNoGroup
	case slices.Contains(g.within, of):
		return g, fmt.Errorf("%v contains itself", of)
	case tags.operation != "":
		return g, errors.New("operation: only a handler has one")
	}
	prefix, err := groupPrefix(tags)
	policy, policyErr := tags.parsePolicy()
	if offAndMore(g.policy, policy) {
		return g, errOffAndMore
	}
	return tableGroup{
		name:   g.name + "." + f.Name,
		path:   g.path + f.Name + ".",
		prefix: g.prefix + prefix,
		own:    policy,
		policy: g.policy.Override(policy),
		within: append(slices.Clone(g.within), of),
	}, errors.Join(err, policyErr)
}

// offAndMore reports whether somebody says how a route is protected that is off, by
// themselves or by inheritance.
func offAndMore(inherited, own idempotency.Policy) bool {
	more := own
	more.Key = ""
	return inherited.Override(own).Key == idempotency.KeyOff && !saidNothing(more)
}

// handlerIn returns the handler in a field of such a type.
func handlerIn(v reflect.Value) (http.Handler, error) {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Invalid:
		return nil, errNoHandler
	case reflect.Func, reflect.Pointer, reflect.Map, reflect.Slice, reflect.Chan:
		if v.IsNil() || isNilFunc(reflect.Indirect(v)) {
			return nil, errNoHandler
		}
	default:
	}
	if handler, ok := reflect.TypeAssert[http.Handler](v); ok {
		return handler, nil
	}
	handler, _ := reflect.TypeAssert[http.HandlerFunc](v.Convert(reflect.TypeFor[http.HandlerFunc]()))
	return handler, nil
}

func isNilFunc(v reflect.Value) bool { return v.Kind() == reflect.Func && v.IsNil() }

package idemhttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

type readRoutes struct {
	Read http.HandlerFunc `route:"GET /a"`
}

const (
	offAndMore  = `"off" stands with other words, which would have no effect: say "off" alone, or what protects it`
	inContainer = "it holds handlers, or structs with routes, of which none is mounted: " +
		"give each a field of its own, of the handler's type, or of the struct or a pointer to it"
	noEffect = " would have no effect: nothing protects the route"
)

type servedRoutes struct {
	http.Handler
	groupRoutes
}

// stringerRoutes are groups that are something else as well.
type stringerRoutes []groupRoutes

func (stringerRoutes) String() string { return "routes" }

func nothingFound(context.Context, idempotency.Orphaned) (idempotency.Finding, error) {
	return idempotency.StillUnknown(), nil
}

// What a table says, and what nobody would follow, is an error.
func TestMount_WordsWithoutEffectAreFoundAtConstruction(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		table any
		opts  []idemhttp.MountOption
		want  string
	}{
		{
			"off and more, C15", struct {
				Create http.HandlerFunc `route:"POST /a" idempotency:"off,retention=72h"`
			}{noop}, nil, "idemhttp: table.Create: " + offAndMore,
		},
		{
			"a group off and more, C15", struct {
				Admin groupRoutes `idempotency:"retention=72h,off"`
			}{groupRoutes{noop}}, nil, "idemhttp: table.Admin: " + offAndMore,
		},
		{
			"more in a group that is off, C15", struct {
				Admin struct {
					Refund http.HandlerFunc `route:"POST /a" idempotency:"retention=72h"`
				} `idempotency:"off"`
			}{struct {
				Refund http.HandlerFunc `route:"POST /a" idempotency:"retention=72h"`
			}{noop}}, nil, "idemhttp: table.Admin.Refund: " + offAndMore,
		},
		{
			"more by an option in a group that is off, C15", struct {
				Admin groupRoutes `idempotency:"off"`
			}{groupRoutes{noop}},
			[]idemhttp.MountOption{idemhttp.ForRoute("Admin.Refund", idempotency.Policy{Retention: 72 * time.Hour})},
			"idemhttp: table.Admin.Refund: " + offAndMore,
		},
		{
			"waiters without a wait", struct {
				Create http.HandlerFunc `route:"POST /a" idempotency:"required,max-waiters=5"`
			}{noop}, nil, `idemhttp: table.Create: "max-waiters" without "wait" would have no effect: nobody waits`,
		},
		{
			"a slice of groups, C15", struct {
				Admin []groupRoutes
				Read  readRoutes
			}{[]groupRoutes{{noop}}, readRoutes{noop}}, nil, "idemhttp: table.Admin: " + inContainer,
		},
		{
			"a map of arrays of groups in a group, C15", struct {
				V1 struct{ Admin map[string][1]*groupRoutes }
			}{}, nil, "idemhttp: table.V1.Admin: " + inContainer,
		},
		{
			"a pointer to a pointer to a group", struct {
				Admin **groupRoutes `route:"/admin" idempotency:"required"`
				Read  readRoutes
			}{Read: readRoutes{noop}}, nil, "idemhttp: table.Admin: " + inContainer,
		},
		{
			"a chan of groups", struct {
				Admin chan groupRoutes
				Read  readRoutes
			}{nil, readRoutes{noop}}, nil, "idemhttp: table.Admin: " + inContainer,
		},
		{
			"a group in an interface", struct {
				Admin any
				Read  readRoutes
			}{&groupRoutes{noop}, readRoutes{noop}}, nil, "idemhttp: table.Admin: " + inContainer,
		},
		{
			"groups in an interface with methods", struct {
				Admin fmt.Stringer
				Read  readRoutes
			}{stringerRoutes{{noop}}, readRoutes{noop}}, nil, "idemhttp: table.Admin: " + inContainer,
		},
		{
			"a handler in an interface", struct {
				Admin any
				Read  readRoutes
			}{http.HandlerFunc(noop), readRoutes{noop}}, nil, "idemhttp: table.Admin: " + inContainer,
		},
		{
			"a handler in an interface, with tags", struct {
				Admin any `route:"POST /a" idempotency:"required"`
			}{http.HandlerFunc(noop)}, nil, "idemhttp: table.Admin: " + inContainer,
		},
		{
			"a map of handlers", struct {
				ByPath map[string]http.HandlerFunc
				Read   readRoutes
			}{nil, readRoutes{noop}}, nil, "idemhttp: table.ByPath: " + inContainer,
		},
		{
			"a map of handlers with tags", struct {
				ByPath map[string]http.Handler `route:"/a" idempotency:"required"`
			}{}, nil, "idemhttp: table.ByPath: " + inContainer,
		},
		{
			"a slice of handlers by value", struct {
				All  []byValue
				Read readRoutes
			}{nil, readRoutes{noop}}, nil, "idemhttp: table.All: " + inContainer,
		},
		{
			"a group that is a handler by what it embeds", struct {
				Admin servedRoutes `route:"/admin" idempotency:"required"`
			}{servedRoutes{http.NotFoundHandler(), groupRoutes{noop}}}, nil,
			"idemhttp: table.Admin: it is a handler, by what it embeds, so that the routes in it would not be mounted: " +
				"give the embedded handler a name and a route",
		},
		{
			"a pointer to no function", struct {
				Create http.Handler `route:"POST /a" idempotency:"required"`
			}{new(http.HandlerFunc)}, nil, "idemhttp: table.Create: no handler: the handler is nil",
		},
		{
			"a group whose only route is misspelt", struct {
				Admin struct {
					Refund http.HandlerFunc `rout:"POST /refunds"`
				}
				Read readRoutes
			}{Read: readRoutes{noop}}, nil, `idemhttp: table.Admin.Refund: there is no tag "rout"; the nearest is "route"`,
		},
		{
			"a group whose only route has no pattern", struct {
				Admin struct {
					Refund http.HandlerFunc `idempotency:"required"`
				}
				Read readRoutes
			}{Read: readRoutes{noop}}, nil, `idemhttp: table.Admin.Refund: a handler without a route: say where it goes, as route:"POST /path"`,
		},
		{
			"an operation of a read", struct {
				Read http.HandlerFunc `route:"GET /a" operation:"read"`
			}{noop}, nil, `idemhttp: table.Read: operation: "read"` + noEffect,
		},
		{
			"an operation of a route that is off", struct {
				Ping http.HandlerFunc `route:"POST /a" operation:"ping" idempotency:"off"`
			}{noop}, nil, `idemhttp: table.Ping: operation: "ping"` + noEffect,
		},
		{
			"an operation of a route that nobody declared", struct {
				Create http.HandlerFunc `route:"POST /a" operation:"create"`
			}{noop}, []idemhttp.MountOption{idemhttp.AllowUndeclared()}, `idemhttp: table.Create: operation: "create"` + noEffect,
		},
		{
			"an option of a route that nobody declared", struct {
				Create http.HandlerFunc `route:"POST /a"`
			}{noop},
			[]idemhttp.MountOption{idemhttp.AllowUndeclared(), idemhttp.ForRoute("Create", idempotency.Reconcile(nothingFound))},
			"idemhttp: table.Create: ForRoute: its options" + noEffect,
		},
		{
			"an option of a read", &readRoutes{noop}, []idemhttp.MountOption{idemhttp.ForRoute("Read", nil)},
			"idemhttp: readRoutes.Read: ForRoute: its options" + noEffect,
		},
		{
			"a struct's policy that no route follows", struct {
				Admin readRoutes `idempotency:"required,lease=1ms"`
			}{readRoutes{noop}}, nil, "idemhttp: table.Admin: Lease is 1ms, not within 100ms and 24h0m0s",
		},
		{
			"a struct's headers that no route follows", struct {
				Admin readRoutes `idempotency:"required,headers=Set-Cookie"`
			}{readRoutes{noop}}, nil,
			`idemhttp: table.Admin: Policy.Headers: header "Set-Cookie" cannot be recorded: it belongs to one client's session`,
		},
		{
			"a table's policy that no route follows", &readRoutes{noop},
			[]idemhttp.MountOption{idemhttp.TablePolicy(idempotency.Policy{Key: "requierd"})},
			`idemhttp: Mount: TablePolicy: Key is "requierd", not one of ["required" "optional" "off" "shadow"]`,
		},
		{
			"a table off and more", &readRoutes{noop},
			[]idemhttp.MountOption{idemhttp.TablePolicy(idempotency.Policy{Key: idempotency.KeyOff, Retention: time.Hour})},
			"idemhttp: Mount: TablePolicy: " + offAndMore,
		},
		{
			"more in a table that is off", struct {
				Admin groupRoutes `idempotency:"retention=72h"`
			}{groupRoutes{noop}},
			[]idemhttp.MountOption{idemhttp.TablePolicy(idempotency.Policy{Key: idempotency.KeyOff})},
			"idemhttp: table.Admin: " + offAndMore,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			mw := newMiddleware(t)
			require.EqualError(t, mw.Mount(http.NewServeMux(), tt.table, tt.opts...), tt.want)
			assert.Empty(t, mw.Routes(), "nothing is mounted")
		})
	}
}

// A handler in a group that is off can be protected, by a key rule of its own.
func TestMount_KeyRuleOfItsOwnInAGroupThatIsOff(t *testing.T) {
	t.Parallel()
	mw := newMiddleware(t)
	require.NoError(t, mw.Mount(http.NewServeMux(), struct {
		Admin struct {
			Refund http.HandlerFunc `route:"POST /a" idempotency:"required,retention=72h"`
			Notify http.HandlerFunc `route:"POST /b" idempotency:"off"`
			Ping   http.HandlerFunc `route:"POST /c"`
		} `idempotency:"off"`
	}{struct {
		Refund http.HandlerFunc `route:"POST /a" idempotency:"required,retention=72h"`
		Notify http.HandlerFunc `route:"POST /b" idempotency:"off"`
		Ping   http.HandlerFunc `route:"POST /c"`
	}{noop, noop, noop}}))
	routes := mw.Routes()
	require.Len(t, routes, 3)
	assert.Equal(t, []bool{true, false, false}, []bool{routes[0].Protected, routes[1].Protected, routes[2].Protected})
}

// A guard whose routes are off, unless they say otherwise, is told of words that do
// not say otherwise.
func TestMount_WordsUnderAGuardThatIsOff(t *testing.T) {
	t.Parallel()
	off := idempotency.WithPolicy(idempotency.Policy{Key: idempotency.KeyOff})
	err := newMiddleware(t, off).Mount(http.NewServeMux(), struct {
		Create http.HandlerFunc `route:"POST /a" idempotency:"retention=72h"`
	}{noop})
	require.EqualError(t, err, `idemhttp: table.Create: the guard's policy is "off", so that these words would have no effect: `+
		`say "required" or "optional" as well, or "off" alone`)
	mw := newMiddleware(t, off)
	require.NoError(t, mw.Mount(http.NewServeMux(), struct {
		Create http.HandlerFunc `route:"POST /a" idempotency:"required,retention=72h"`
	}{noop}))
	assert.True(t, mw.Routes()[0].Protected)
}

// What a struct says may be completed by what its routes say.
func TestMount_PolicyOfAStructThatItsRoutesComplete(t *testing.T) {
	t.Parallel()
	require.NoError(t, newMiddleware(t).Mount(http.NewServeMux(), struct {
		Admin struct {
			Read   http.HandlerFunc `route:"GET /a"`
			Refund http.HandlerFunc `route:"POST /a" idempotency:"lease=1s"`
		} `idempotency:"required,retention=20s"`
	}{struct {
		Read   http.HandlerFunc `route:"GET /a"`
		Refund http.HandlerFunc `route:"POST /a" idempotency:"lease=1s"`
	}{noop, noop}}))
}

// What looks like routes that nobody mounts, and is the program's own business.
func TestMount_FieldsThatAreNoRoutes(t *testing.T) {
	t.Parallel()
	type endless []endless
	type turning *turning
	mw := newMiddleware(t)
	require.NoError(t, mw.Mount(http.NewServeMux(), struct {
		readRoutes
		Log     io.Writer
		Store   fmt.Stringer // which serves something as well
		Any     any
		Empty   any
		Deep    endless
		Turn    turning
		Server  *http.Server
		Wrap    []func(http.Handler) http.Handler
		handler map[string]http.Handler
	}{readRoutes: readRoutes{noop}, Store: stringerHandler{}, Any: []int{1}, handler: map[string]http.Handler{}}))
	assert.Len(t, mw.Routes(), 1)
}

type stringerHandler struct{ http.Handler }

func (stringerHandler) String() string { return "handler" }

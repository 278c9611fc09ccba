package idemhttp_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

func noop(http.ResponseWriter, *http.Request) {}

// Types whose names appear in messages. The tests fill all their handlers.
type (
	groupRoutes struct {
		Refund http.HandlerFunc `route:"POST /refunds"`
	}
	selfRoutes struct {
		Create http.HandlerFunc `route:"POST /a" idempotency:"required"`
		Again  *selfRoutes      `route:"/again"`
	}
	byValue struct{ http.Handler }
)

func (*byValue) ServeHTTP(http.ResponseWriter, *http.Request) {}

// Every wrong declaration is an error of Mount, which names Type.Field and the
// word. The messages are part of what users work with, so they are compared whole.
func TestMount_WrongTablesAreFoundAtConstruction(t *testing.T) {
	t.Parallel()
	mw := newMiddleware(t)
	protect, err := mw.Protect("inner")
	require.NoError(t, err)
	var nilTable *groupRoutes
	var nilHandler http.Handler
	tests := []struct {
		name  string
		table any
		opts  []idemhttp.MountOption
		want  string
	}{
		// the table
		{"nothing", nil, nil, "idemhttp: Mount: the table is nil, not a struct or a pointer to one"},
		{"nil pointer", nilTable, nil, "idemhttp: Mount: the table is a nil *idemhttp_test.groupRoutes, not a struct or a pointer to one"},
		{"no struct", []string{"POST /a"}, nil, "idemhttp: Mount: the table is a []string, not a struct or a pointer to one"},
		{"no routes", struct{ Name string }{}, nil, "idemhttp: table: it has no routes"},

		// handlers
		{
			"a handler without a route", struct{ Create http.HandlerFunc }{noop}, nil,
			`idemhttp: table.Create: a handler without a route: say where it goes, as route:"POST /path"`,
		},
		{
			"nil function", &groupRoutes{}, []idemhttp.MountOption{idemhttp.TablePolicy(idempotency.Policy{Key: idempotency.KeyRequired})},
			"idemhttp: groupRoutes.Refund: no handler: the handler is nil",
		},
		{
			"nil interface", struct {
				Create http.Handler `route:"POST /a" idempotency:"required"`
			}{nilHandler}, nil,
			"idemhttp: table.Create: no handler: the handler is nil",
		},
		{
			"nil function in an interface", struct {
				Create http.Handler `route:"POST /a" idempotency:"off"`
			}{http.HandlerFunc(nil)}, nil,
			"idemhttp: table.Create: no handler: the handler is nil",
		},
		{
			"nil pointer of a handler's type", struct {
				Create *http.ServeMux `route:"POST /a" idempotency:"off"`
			}{}, nil,
			"idemhttp: table.Create: no handler: the handler is nil",
		},
		{
			"protected already", struct {
				Create http.Handler `route:"POST /a" idempotency:"required"`
			}{protect(http.HandlerFunc(noop))}, nil,
			"idemhttp: table.Create: the handler is protected already, and a request would meet its own claim: protect it once",
		},
		{
			"a timeout inside", struct {
				Create http.Handler `route:"POST /a" idempotency:"required"`
			}{http.TimeoutHandler(http.HandlerFunc(noop), time.Second, "")}, nil,
			"idemhttp: table.Create: http.TimeoutHandler stands inside: its 503 would say that nothing happened " +
				"while the handler that it wraps is still at work; put it outside, around the protected route or the mux",
		},
		{
			"no handler", struct {
				Create string `route:"POST /a" idempotency:"required"`
			}{}, nil,
			"idemhttp: table.Create: it has tags, but is neither a handler nor a struct with routes",
		},
		{
			"a function of another form", struct {
				Create func(context.Context) `route:"POST /a"`
			}{}, nil,
			"idemhttp: table.Create: it has tags, but is neither a handler nor a struct with routes",
		},
		{
			"a function for JSON, C16", struct {
				Create func(context.Context, plain) (plain, error) `route:"POST /a" idempotency:"required"`
			}{}, nil,
			"idemhttp: table.Create: a function from a request to an answer is no handler: wrap it in idemhttp.JSON and make the field http.Handler",
		},
		{
			"a handler by value", &struct {
				Create byValue `route:"POST /a"`
			}{}, nil,
			"idemhttp: table.Create: its type is no http.Handler, but a pointer to it is: make the field a pointer",
		},
		{
			"unexported", struct {
				create http.HandlerFunc `route:"POST /a" idempotency:"required"`
			}{create: noop}, nil,
			"idemhttp: table.create: it has tags or routes, but is not exported, so that nobody can read it",
		},
		{
			"unexported with routes", struct{ group groupRoutes }{}, nil,
			"idemhttp: table.group: it has tags or routes, but is not exported, so that nobody can read it",
		},

		// policies
		{
			"no policy", &groupRoutes{noop}, nil,
			`idemhttp: groupRoutes.Refund: no policy: it may change something, so say how it is protected, or idempotency:"off"`,
		},
		{
			"no policy and no method", struct {
				All http.HandlerFunc `route:"/files/"`
			}{noop}, nil,
			`idemhttp: table.All: no policy: it may change something, so say how it is protected, or idempotency:"off"`,
		},
		{
			"an empty policy", struct {
				Create http.HandlerFunc `route:"POST /a" idempotency:" "`
			}{noop}, nil,
			`idemhttp: table.Create: idempotency: the tag says nothing: say "required", "optional" or "off", or leave it out`,
		},
		{
			"no such word", struct {
				Create http.HandlerFunc `route:"POST /a" idempotency:"requierd"`
			}{noop}, nil,
			`idemhttp: table.Create: idempotency: policy: word 1, at byte 0, "requierd": there is no such word; the nearest is "required"`,
		},
		{
			"no such word of a group", struct {
				Admin groupRoutes `idempotency:"required,retnetion=72h"`
			}{groupRoutes{noop}}, nil,
			`idemhttp: table.Admin: idempotency: policy: word 2, at byte 9, "retnetion=72h": there is no such word; the nearest is "retention="`,
		},
		{
			"out of bounds", struct {
				Create http.HandlerFunc `route:"POST /a" idempotency:"required,lease=1ms"`
			}{noop}, nil,
			"idemhttp: table.Create: Lease is 1ms, not within 100ms and 24h0m0s",
		},
		{
			"out of bounds with what is inherited", struct {
				Admin struct {
					Refund http.HandlerFunc `route:"POST /a" idempotency:"retention=1m"`
				} `idempotency:"lease=2m"`
			}{struct {
				Refund http.HandlerFunc `route:"POST /a" idempotency:"retention=1m"`
			}{noop}}, nil,
			"idemhttp: table.Admin.Refund: Retention 1m0s is not longer than Lease 2m0s",
		},
		{
			"a header that must not be recorded", struct {
				Create http.HandlerFunc `route:"POST /a" idempotency:"required,headers=Set-Cookie"`
			}{noop}, nil,
			`idemhttp: table.Create: Policy.Headers: header "Set-Cookie" cannot be recorded: it belongs to one client's session`,
		},
		{
			"a header that must not count", struct {
				Create http.HandlerFunc `route:"POST /a" idempotency:"required,fingerprint-headers=Date"`
			}{noop}, nil,
			`idemhttp: table.Create: Policy.FingerprintHeaders: header "Date" cannot count: a retry has a later one`,
		},
		{
			"a protected read", struct {
				Read http.HandlerFunc `route:"GET /a" idempotency:"required"`
			}{noop}, nil,
			`idemhttp: table.Read: GET is never protected: say "off", or nothing`,
		},
		{
			"by tag and by option", struct {
				Create http.HandlerFunc `route:"POST /a" idempotency:"required"`
			}{noop}, []idemhttp.MountOption{idemhttp.ForRoute("Create", idempotency.Policy{Wait: time.Second})},
			`idemhttp: table.Create: a policy by ForRoute and by its tag idempotency:"required": say it in one place`,
		},

		// patterns
		{
			"no path", struct {
				Create http.HandlerFunc `route:"POST" idempotency:"required"`
			}{noop}, nil,
			`idemhttp: table.Create: route: "POST" has no path: a path begins with /`,
		},
		{
			"empty", struct {
				Create http.HandlerFunc `route:"" idempotency:"required"`
			}{noop}, nil,
			`idemhttp: table.Create: route: "" has no path: a path begins with /`,
		},
		{
			"no method", struct {
				Create http.HandlerFunc `route:"PSOT /a" idempotency:"required"`
			}{noop}, nil,
			`idemhttp: table.Create: route: there is no method "PSOT"; the nearest is "POST"`,
		},
		{
			"lower case", struct {
				Create http.HandlerFunc `route:"post /a" idempotency:"required"`
			}{noop}, nil,
			`idemhttp: table.Create: route: there is no method "post"; the nearest is "POST"`,
		},
		{
			"two spaces", struct {
				Create http.HandlerFunc `route:"POST  /a" idempotency:"required"`
			}{noop}, nil,
			`idemhttp: table.Create: route: "POST  /a" is not in the form "METHOD /path", with one space`,
		},
		{
			"a wildcard that the mux refuses", struct {
				Create http.HandlerFunc `route:"POST /{id" idempotency:"required"`
			}{noop}, nil,
			"idemhttp: table.Create: the mux refuses it: parsing \"POST /{id\": at offset 6: bad wildcard segment (must end with '}')",
		},
		{
			"a group with a method", struct {
				Admin groupRoutes `route:"POST /admin" idempotency:"required"`
			}{groupRoutes{noop}}, nil,
			`idemhttp: table.Admin: route: "POST /admin": before other routes there can only be a path, such as "/v1"`,
		},
		{
			"a group that ends in a slash", struct {
				Admin groupRoutes `route:"/admin/" idempotency:"required"`
			}{groupRoutes{noop}}, nil,
			`idemhttp: table.Admin: route: "/admin/" ends in /, and the routes after it begin with one`,
		},
		{
			"a group that ends a path", struct {
				Admin groupRoutes `route:"/{rest...}" idempotency:"required"`
			}{groupRoutes{noop}}, nil,
			`idemhttp: table.Admin: route: "/{rest...}" matches the end of a path, and there is more after it`,
		},

		// groups
		{
			"a nil group", struct {
				Admin *groupRoutes `route:"/admin" idempotency:"required"`
			}{}, nil,
			"idemhttp: table.Admin: the pointer is nil, so that its routes have no handlers",
		},
		{
			"a group in itself", &selfRoutes{Create: noop, Again: &selfRoutes{}}, nil,
			"idemhttp: selfRoutes.Again: idemhttp_test.selfRoutes contains itself",
		},
		{
			"a group with an operation", struct {
				Admin groupRoutes `operation:"admin" idempotency:"required"`
			}{groupRoutes{noop}}, nil,
			"idemhttp: table.Admin: operation: only a handler has one",
		},
		{
			"no operation name", struct {
				Create http.HandlerFunc `route:"POST /a" operation:"" idempotency:"required"`
			}{noop}, nil,
			"idemhttp: table.Create: operation: the name is empty",
		},
		{
			"one operation for two routes", struct {
				Create http.HandlerFunc `route:"POST /a" operation:"a" idempotency:"required"`
				Other  http.HandlerFunc `route:"POST /b" operation:"a" idempotency:"required"`
			}{noop, noop}, nil,
			`idemhttp: table.Other: its operation "a" is that of table.Create already`,
		},

		// tags that Go reads past
		{
			"a misspelt tag", struct {
				Create http.HandlerFunc `rout:"POST /a" idempotency:"required"`
			}{noop}, nil,
			`idemhttp: table.Create: there is no tag "rout"; the nearest is "route"`,
		},
		{
			"a misspelt tag on a group", struct {
				Admin groupRoutes `route:"/admin" idempotncy:"required"`
			}{groupRoutes{noop}}, nil,
			`idemhttp: table.Admin: there is no tag "idempotncy"; the nearest is "idempotency"`,
		},
		{
			"a tag in capitals", struct {
				Create http.HandlerFunc `ROUTE:"POST /a" idempotency:"required"`
			}{noop}, nil,
			`idemhttp: table.Create: there is no tag "ROUTE"; the nearest is "route"`,
		},

		// with others
		{
			"one pattern for two routes", struct {
				Create http.HandlerFunc `route:"POST /a" operation:"a" idempotency:"required"`
				Other  http.HandlerFunc `route:"POST /a" operation:"a" idempotency:"required"`
			}{noop, noop}, nil,
			`idemhttp: table.Other: the mux refuses it: pattern "POST /a" conflicts with "POST /a", which stands before it`,
		},
		{
			"a part of the path that the route does not have", struct {
				Create http.Handler `route:"POST /a/{payment}" idempotency:"off"`
			}{typed[otherPath]()}, nil,
			`idemhttp: table.Create: otherPath.ID: path:"paiment": the route has no {paiment}; the nearest is {payment}`,
		},
		{
			"a part of the path, and nothing protects it", struct {
				Read http.Handler `route:"GET /a"`
			}{typed[otherPath]()}, nil,
			`idemhttp: table.Read: otherPath.ID: path:"paiment": the route has no {paiment}`,
		},

		// options
		{"nil option", &groupRoutes{noop}, []idemhttp.MountOption{nil}, "idemhttp: Mount: a nil option"},
		{
			"no such field", &groupRoutes{noop},
			[]idemhttp.MountOption{idemhttp.AllowUndeclared(), idemhttp.ForRoute("Refnud")},
			`idemhttp: Mount: ForRoute: the table has no route "Refnud"; the nearest is "Refund"`,
		},
		{
			"a field twice", &groupRoutes{noop},
			[]idemhttp.MountOption{idemhttp.ForRoute("Refund"), idemhttp.ForRoute("Refund")},
			`idemhttp: Mount: ForRoute: "Refund" is given twice`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			guard := newGuardFor(t)
			mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
			require.NoError(t, err)
			require.EqualError(t, mw.Mount(http.NewServeMux(), tt.table, tt.opts...), tt.want)
			assert.Empty(t, mw.Routes(), "nothing is mounted")
			assert.Empty(t, guard.Operations(), "nor registered")
		})
	}
}

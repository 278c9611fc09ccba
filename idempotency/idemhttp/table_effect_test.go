package idemhttp_test

import (
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
	inContainer = "it holds structs with routes, but nothing in a slice, an array or a map is mounted: " +
		"give each struct a field of its own"
)

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

package idemhttp_test

import (
	"net/http"
	"reflect"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// http.ServeMux takes all of these, and no request that they are meant for comes to them.
func TestPatternsThatMatchNothingAreErrors(t *testing.T) {
	t.Parallel()
	const form = ` is not in the form "METHOD /path", with one space`
	tests := []struct {
		name, pattern, want string
		anywhere            bool // whatever the mux, a table refuses it
	}{
		{"a colon", "POST /a/:id", `http.ServeMux takes ":id" as it stands: write {id}`, false},
		{"a colon in the middle", "POST /a/:id/b", `http.ServeMux takes ":id" as it stands: write {id}`, false},
		{"a star with a name", "POST /a/*rest", `http.ServeMux takes "*rest" as it stands: write {rest...}`, false},
		{"a star", "/a/*", `http.ServeMux takes "*" as it stands: write {rest...}`, false},
		{"a query", "POST /a?x=1", `http.ServeMux looks at the path alone, of which "?x=1" is no part: leave it out`, false},
		{"a fragment", "POST /a#b", `http.ServeMux looks at the path alone, of which "#b" is no part: leave it out`, false},
		{"a port", "POST api.example:8080/a", `http.ServeMux matches no request to "api.example:8080": a host stands in lower case and without its port`, false},
		{"a host in capitals", "POST API.example/a", `http.ServeMux matches no request to "API.example": a host stands in lower case and without its port`, false},
		{"an empty segment", "/a//b", `http.ServeMux matches no request to "/a//b": it leaves no empty segments in a path`, false},
		{"a dot at the end", "/a/.", `http.ServeMux matches no request to "/a/.": it resolves "." before`, false},
		{"two dots", "/a/../b", `http.ServeMux matches no request to "/a/../b": it resolves ".." before`, false},
		{"a star for a method", "* /a", `there is no method "*": leave it out, and all methods are meant`, true},
		{"another word for all", "ANY /a", `there is no method "ANY": leave it out, and all methods are meant`, true},
		{"a misspelt method", "PSOT /a", `there is no method "PSOT"; the nearest is "POST"`, true},
		{"lower case", "post /a", `there is no method "post"; the nearest is "POST"`, true},
		{"a tab", "POST\t/a", `"POST\t/a"` + form, true},
		{"two spaces", "POST  /a", `"POST  /a"` + form, true},
		{"a space at the end", "POST /a ", `"POST /a "` + form, true},
		{"no path", "POST", `"POST" has no path: a path begins with /`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			mw := newMiddleware(t)
			err := mw.Handle(http.NewServeMux(), tt.pattern, &counting{})
			require.EqualError(t, err, "idemhttp: "+tt.pattern+": "+tt.want)
			inTable := tt.want
			if tt.anywhere {
				inTable = "route: " + inTable
			}
			require.EqualError(t, mw.Mount(http.NewServeMux(), routed(tt.pattern)), "idemhttp: table.Create: "+inTable)
			assert.Empty(t, mw.Routes())
			err = newMiddleware(t).Mount(newForeignRouter(), routed(tt.pattern))
			assert.Equal(t, tt.anywhere, err != nil, "others have patterns of their own: %v", err)
		})
	}
}

// routed returns a table with one route.
func routed(pattern string) any {
	table := reflect.New(reflect.StructOf([]reflect.StructField{{
		Name: "Create", Type: reflect.TypeFor[http.Handler](),
		Tag: reflect.StructTag(`route:` + strconv.Quote(pattern) + ` idempotency:"required"`),
	}})).Elem()
	table.Field(0).Set(reflect.ValueOf(&counting{}))
	return table.Interface()
}

func TestPatternsThatLookStrangeAndAreNot(t *testing.T) {
	t.Parallel()
	patterns := []string{
		"POST /v1/b:cancel", "POST api.example/c", "PROPFIND /d", "/e/", "POST /f/{rest...}", "POST /g/{$}",
		"POST /h/%3F", "POST /i/a*b", "BREW /j", "POST ::1/k",
	}
	for _, pattern := range patterns {
		require.NoError(t, newMiddleware(t).Handle(http.NewServeMux(), pattern, &counting{}), pattern)
		require.NoError(t, newMiddleware(t).Mount(http.NewServeMux(), routed(pattern)), pattern)
	}
}

package idemhttp

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/nearest"
	"github.com/reprise-go/reprise/internal/tagged"
)

// The tags of a table's fields.
const (
	tagRoute     = "route"
	tagPolicy    = "idempotency"
	tagOperation = "operation"
)

// tableTags are the tags of one field.
type tableTags struct {
	route, policy, operation          string
	hasRoute, hasPolicy, hasOperation bool
}

func (t tableTags) any() bool { return t.hasRoute || t.hasPolicy || t.hasOperation }

// readTableTags also finds the tags that Go would read past in silence: one that
// is not in the conventional form, and one that is misspelt.
func readTableTags(f reflect.StructField) (tableTags, error) {
	var t tableTags
	t.route, t.hasRoute = f.Tag.Lookup(tagRoute)
	t.policy, t.hasPolicy = f.Tag.Lookup(tagPolicy)
	t.operation, t.hasOperation = f.Tag.Lookup(tagOperation)
	if t.hasOperation && t.operation == "" {
		return t, errors.New("operation: the name is empty")
	}
	if t.hasPolicy && strings.TrimSpace(t.policy) == "" {
		return t, errors.New(`idempotency: the tag says nothing: say "required", "optional" or "off", or leave it out`)
	}
	return t, tagged.CheckTag(f.Tag, tagRoute, tagOperation)
}

func (t tableTags) parsePolicy() (idempotency.Policy, error) {
	if !t.hasPolicy {
		return idempotency.Policy{}, nil
	}
	return idempotency.ParsePolicy(t.policy)
}

// cutPattern takes a checked pattern apart: [METHOD ][HOST]/PATH.
func cutPattern(pattern string) (method, host, path string) {
	method, rest, spaced := strings.Cut(pattern, " ")
	if !spaced {
		method, rest = "", pattern
	}
	slash := max(0, strings.IndexByte(rest, '/'))
	return method, rest[:slash], rest[slash:]
}

// joinPattern checks a route and puts a prefix before its path. The pattern is
// an operation's name, so there is one way to write it.
func joinPattern(prefix, route string) (string, error) {
	method, host, path := cutPattern(route)
	switch {
	case strings.Count(route, " ") > 1 || strings.HasPrefix(route, " ") || strings.ContainsAny(route, "\t\r\n"):
		return "", fmt.Errorf(`route: %q is not in the form "METHOD /path", with one space`, route)
	case !strings.HasPrefix(path, "/"):
		return "", fmt.Errorf("route: %q has no path: a path begins with /", route)
	}
	if err := checkMethod(method); err != nil {
		return "", err
	}
	if method != "" {
		method += " "
	}
	return method + host + prefix + path, nil
}

// checkMethod finds methods that no request will ever have. Others than the
// usual ones are fine, unless they look like a misspelt one.
func checkMethod(method string) error {
	usual := []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
	}
	if method == "" || slices.Contains(usual, method) {
		return nil
	}
	upper := strings.ToUpper(method)
	likely := nearest.Word(upper, usual)
	if upper != method || nearest.Distance(upper, likely) <= 2 {
		return fmt.Errorf("route: there is no method %q; the nearest is %q", method, likely)
	}
	return nil
}

// groupPrefix returns the path that stands before the routes of a struct.
func groupPrefix(tags tableTags) (string, error) {
	p := tags.route
	switch {
	case !tags.hasRoute:
		return "", nil
	case !strings.HasPrefix(p, "/") || strings.ContainsAny(p, " \t\r\n"):
		return "", fmt.Errorf(`route: %q: before other routes there can only be a path, such as "/v1"`, p)
	case strings.HasSuffix(p, "/"):
		return "", fmt.Errorf("route: %q ends in /, and the routes after it begin with one", p)
	case strings.Contains(p, "{$}") || strings.Contains(p, "...}"):
		return "", fmt.Errorf("route: %q matches the end of a path, and there is more after it", p)
	}
	return p, nil
}

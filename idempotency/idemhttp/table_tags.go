package idemhttp

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/reprise-go/reprise/idempotency"
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
	switch name := strings.TrimSpace(t.operation); {
	case t.hasOperation && name == "":
		return t, errors.New("operation: the name is empty")
	case name != t.operation:
		return t, fmt.Errorf("operation: %q begins or ends with a space", t.operation)
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

// joinPattern checks a route and puts a prefix before its path. The pattern is
// an operation's name, so there is one way to write it.
func joinPattern(prefix, route string) (string, error) {
	method, host, path, err := splitPattern(route)
	if err != nil {
		return "", fmt.Errorf("route: %w", err)
	}
	if method != "" {
		method += " "
	}
	return method + host + prefix + path, nil
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

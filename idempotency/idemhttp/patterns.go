package idemhttp

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/internal/nearest"
)

// cutPattern takes a pattern apart: [METHOD ][HOST]/PATH.
func cutPattern(pattern string) (method, host, path string) {
	method, rest, spaced := strings.Cut(pattern, " ")
	if !spaced {
		method, rest = "", pattern
	}
	slash := max(0, strings.IndexByte(rest, '/'))
	return method, rest[:slash], rest[slash:]
}

// splitPattern is cutPattern for one that nobody has checked.
func splitPattern(pattern string) (method, host, path string, err error) {
	method, host, path = cutPattern(pattern)
	switch {
	case strings.Count(pattern, " ") > 1 || strings.HasPrefix(pattern, " ") || strings.ContainsAny(pattern, "\t\r\n"):
		err = fmt.Errorf(`%q is not in the form "METHOD /path", with one space`, pattern)
	case !strings.HasPrefix(path, "/"):
		err = fmt.Errorf("%q has no path: a path begins with /", pattern)
	default:
		err = checkMethod(method)
	}
	return method, host, path, err
}

// checkPattern finds patterns that [http.ServeMux] takes, and that match no request, or
// none that they are meant for. What others make of a pattern is theirs.
func checkPattern(pattern string) error {
	_, host, path, err := splitPattern(pattern)
	if err != nil {
		return err
	}
	if host != strings.ToLower(host) || strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return fmt.Errorf("http.ServeMux matches no request to %q: a host stands in lower case and without its port", host)
	}
	if at := strings.IndexAny(path, "?#"); at >= 0 {
		return fmt.Errorf("http.ServeMux looks at the path alone, of which %q is no part: leave it out", path[at:])
	}
	if strings.Contains(path, "//") {
		return fmt.Errorf("http.ServeMux matches no request to %q: it leaves no empty segments in a path", path)
	}
	for segment := range strings.SplitSeq(path, "/") {
		switch {
		case segment == "." || segment == "..":
			return fmt.Errorf("http.ServeMux matches no request to %q: it resolves %q before", path, segment)
		case strings.HasPrefix(segment, ":") && segment != ":":
			return fmt.Errorf("http.ServeMux takes %q as it stands: write {%s}", segment, segment[1:])
		case strings.HasPrefix(segment, "*"):
			return fmt.Errorf("http.ServeMux takes %q as it stands: write {%s...}", segment, cmp.Or(segment[1:], "rest"))
		}
	}
	return nil
}

// checkMethod finds methods that no request will ever have. Others than the
// usual ones are fine, unless they look like a misspelt one.
func checkMethod(method string) error {
	usual := []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace,
	}
	switch method {
	case "":
		return nil
	case "*", "ANY", "ALL":
		return fmt.Errorf("there is no method %q: leave it out, and all methods are meant", method)
	}
	if slices.Contains(usual, method) {
		return nil
	}
	upper := strings.ToUpper(method)
	likely := nearest.Word(upper, usual)
	if upper != method || nearest.Distance(upper, likely) <= 2 {
		return fmt.Errorf("there is no method %q; the nearest is %q", method, likely)
	}
	return nil
}

// checkFree finds out, without mounting anything, whether a mux would take patterns.
// It returns an error or nil for each. What is on a [http.ServeMux] can only be asked
// for request by request, so that one thing stays unknown: a pattern which somebody else
// has put there and which overlaps with one of these in part.
func (m *Middleware) checkFree(mux Mux, patterns []string) []error {
	errs := make([]error, len(patterns))
	standard, isStandard := mux.(*http.ServeMux)
	rehearsal := http.NewServeMux()
	for i, pattern := range patterns {
		switch {
		case isStandard:
			errs[i] = cmp.Or(besides(rehearsal, pattern, patterns[:i]), m.besideWhatIsOn(standard, pattern))
		case slices.Contains(append(patterns[:i:i], m.mounted.on(mux)...), pattern):
			errs[i] = fmt.Errorf("the mux has %q already, and would forget the handler that it has for it", pattern)
		}
	}
	return errs
}

// besides mounts a pattern where nobody asks for it, beside those of its table before
// it.
func besides(rehearsal *http.ServeMux, pattern string, before []string) error {
	err := tryHandle(rehearsal, pattern, http.NotFoundHandler())
	if err == nil {
		return nil
	}
	for _, other := range before {
		if conflict(other, pattern) {
			return fmt.Errorf("the mux refuses it: pattern %q conflicts with %q, which stands before it", pattern, other)
		}
	}
	return err
}

// besideWhatIsOn looks at what has been mounted on a mux, and at what it has, from
// whomever, for a request that the pattern is for.
func (m *Middleware) besideWhatIsOn(mux *http.ServeMux, pattern string) error {
	others := m.mounted.on(mux)
	if there := patternAt(mux, pattern); m.mounted.spareFor(mux, there) == nil {
		others = append(others, there)
	}
	for _, there := range others {
		if conflict(there, pattern) {
			return fmt.Errorf("the mux refuses it: pattern %q conflicts with %q, which is there already", pattern, there)
		}
	}
	return nil
}

// conflict reports whether two patterns cannot be on one [http.ServeMux].
func conflict(a, b string) bool {
	both := http.NewServeMux()
	return tryHandle(both, a, http.NotFoundHandler()) == nil && tryHandle(both, b, http.NotFoundHandler()) != nil
}

// patternAt returns the pattern that a mux has for a request which a pattern is for;
// "" if it has none. No literal of another pattern is in that request's wildcards.
func patternAt(mux *http.ServeMux, pattern string) string {
	method, host, path := cutPattern(pattern)
	if method == "" {
		method = http.MethodGet
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		switch {
		case segment == "{$}":
			segments[i] = ""
		case strings.HasPrefix(segment, "{"):
			segments[i] = fmt.Sprintf("reprise-any-%d", i)
		}
	}
	u, err := url.ParseRequestURI(strings.Join(segments, "/"))
	if err != nil {
		return ""
	}
	_, there := mux.Handler(&http.Request{Method: method, Host: host, URL: u})
	return there
}

// wildcards returns the names in a pattern. Those of any router: {id}, {rest...} and
// {id:[0-9]+}, with braces in the expression. Not of [http.ServeMux]: segments such as
// :id and *rest, and * by itself, whose name is "*".
func wildcards(pattern string, standard bool) []string {
	names, plain := bracedNames(strings.TrimSuffix(pattern, "{$}"))
	if standard {
		return names
	}
	for segment := range strings.SplitSeq(plain, "/") {
		switch {
		case segment == "*":
			names = append(names, "*")
		case len(segment) > 1 && (segment[0] == ':' || segment[0] == '*'):
			names = append(names, segment[1:])
		}
	}
	return names
}

// bracedNames returns the names in braces, and what stands outside them.
func bracedNames(pattern string) (names []string, plain string) {
	depth, begin := 0, 0
	var outside strings.Builder
	for i, c := range []byte(pattern) {
		switch {
		case c == '{':
			if depth++; depth == 1 {
				begin = i + 1
			}
		case c == '}' && depth > 0:
			if depth--; depth == 0 {
				name, _, _ := strings.Cut(pattern[begin:i], ":")
				names = append(names, strings.TrimSuffix(name, "..."))
			}
		case depth == 0:
			outside.WriteByte(c)
		}
	}
	return names, outside.String()
}

// mayBeEmpty reports whether a pattern of [http.ServeMux] has a wildcard of that name
// for the rest of a path, of which there may be nothing.
func mayBeEmpty(pattern, name string) bool { return strings.Contains(pattern, "{"+name+"...}") }

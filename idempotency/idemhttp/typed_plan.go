package idemhttp

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/keysyntax"
	"github.com/reprise-go/reprise/internal/nearest"
	"github.com/reprise-go/reprise/internal/tagged"
)

// requestPlan says how requests become values of one struct, and what the tags
// of that struct say about them. Made once for a handler. Safe for concurrent use.
type requestPlan struct {
	of     reflect.Type // the struct
	tags   *tagged.Plan
	places []placeField
	body   bool // it has members that come from the body
	parts  memberPointers
}

// newRequestPlan returns the plan of a struct, or of what a pointer points to.
// Errors name Type.Field and the word.
func newRequestPlan(t reflect.Type) (*requestPlan, error) {
	of := structOf(t)
	if of == nil {
		return nil, fmt.Errorf("the type of the request is %v, not a struct or a pointer to one", t)
	}
	if err := checkReadable(of); err != nil {
		return nil, err
	}
	tags, err := tagged.Of(of)
	if err != nil {
		return nil, err
	}
	p := &requestPlan{of: of, tags: tags}
	if err := p.readPlaces(); err != nil {
		return nil, err
	}
	parts, read, err := membersOf(of)
	if err != nil {
		return nil, err
	}
	p.parts = parts
	return p, errors.Join(p.checkChosen(), p.checkSources(read))
}

// checkChosen finds a place that is chosen, as if nothing else counted, where all of the
// body does.
func (p *requestPlan) checkChosen() error {
	var errs []error
	for _, place := range p.places {
		if place.chosen && p.body && len(p.parts.only) == 0 {
			errs = append(errs, fmt.Errorf("%s.%s: %s: idempotency:%q: the path and the query always count, "+
				"and so does the whole body, unless members of it are chosen", typeName(p.of), place.field, place.said(), tagChosen))
		}
	}
	return errors.Join(errs...)
}

// checkPolicy finds what the policy of a protected route and the tags contradict each
// other in.
func (p *requestPlan) checkPolicy(policy idempotency.Policy) error {
	switch {
	case len(policy.FingerprintOnly)+len(policy.FingerprintExclude) > 0:
		return fmt.Errorf("Policy.FingerprintOnly and FingerprintExclude: the tags of %s say what counts: "+
			"say it in one place", typeName(p.of))
	case p.parts.said && policy.Fingerprint == idempotency.FingerprintOff:
		return fmt.Errorf("Policy.Fingerprint: the tags of %s say what counts, and %q that nothing does",
			typeName(p.of), idempotency.FingerprintOff)
	}
	for _, s := range p.tags.Sources() {
		if s.Word != tagKey {
			continue
		}
		if err := keysyntax.CheckField(fieldType(p.of, s.Index), string(policy.KeyFormat)); err != nil {
			return fmt.Errorf("%s: idempotency:%q: Policy.%w", s.Name, s.Word, err)
		}
	}
	return nil
}

// fieldType returns the type of a field, behind any pointers on the way to it.
func fieldType(t reflect.Type, index []int) reflect.Type {
	for _, i := range index {
		t = pointedAt(t).Field(i).Type
	}
	return t
}

// checkSources finds a key or a scope that no request can set.
func (p *requestPlan) checkSources(read [][]int) error {
	for _, place := range p.places {
		read = append(read, place.index)
	}
	var errs []error
	for _, s := range p.tags.Sources() {
		if !slices.ContainsFunc(read, func(index []int) bool { return slices.Equal(index, s.Index) }) {
			errs = append(errs, fmt.Errorf("%s: idempotency:%q: no request can set it: JSON leaves the field out, "+
				"or another has its name, and it has no tag path or query", s.Name, s.Word))
		}
	}
	return errors.Join(errs...)
}

func typeName(t reflect.Type) string {
	if t.Name() == "" {
		return "struct"
	}
	return t.Name()
}

// checkPlaces finds fields that ask for a part of the path which the pattern
// does not have.
func (p *requestPlan) checkPlaces(pattern string, standard bool) error {
	names := wildcards(pattern, standard)
	var errs []error
	for _, place := range p.places {
		if place.kind != placePath || slices.Contains(names, place.name) {
			continue
		}
		near := ""
		if likely := nearest.Word(place.name, names); likely != "" {
			near = fmt.Sprintf("; the nearest is {%s}", likely)
		}
		errs = append(errs, fmt.Errorf(`%s.%s: path:"%s": the route has no {%s}%s`,
			typeName(p.of), place.field, place.name, place.name, near))
	}
	return errors.Join(errs...)
}

// checkPath finds a field whose value the router does not give, because it does not
// fill what is asked, or because the route has no such part. A handler that ran with
// an empty one would take all requests for one thing's.
func (p *requestPlan) checkPath(r *http.Request, find func(*http.Request, string) string) error {
	if p == nil {
		return nil
	}
	for _, place := range p.places {
		if place.kind == placePath && place.inPath(r, find) == "" && !mayBeEmpty(r.Pattern, place.name) {
			return fmt.Errorf(`JSON: %s.%s: path:"%s": the router gives no value for it: `+
				`the route must have such a part, and idemhttp.PathValue say how the router is asked for it`,
				typeName(p.of), place.field, place.name)
		}
	}
	return nil
}

// decode makes a value of a request that has passed checkPath. The value is a pointer
// to the plan's struct.
//
// Errors are *requestError.
func (p *requestPlan) decode(
	r *http.Request, body []byte, find func(*http.Request, string) string,
) (reflect.Value, error) {
	v := reflect.New(p.of)
	if len(body) > 0 || p.body {
		if err := decodeStrictly(body, v.Interface()); err != nil {
			return v, err
		}
	}
	for _, place := range p.places {
		if err := place.read(r, v.Elem(), find); err != nil {
			return v, err
		}
	}
	return v, nil
}

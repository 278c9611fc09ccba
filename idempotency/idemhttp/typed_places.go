package idemhttp

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/reprise-go/reprise/internal/tagged"
)

// readPlaces finds the fields that come from the path or the query: the struct's
// own and those of embedded structs.
func (p *requestPlan) readPlaces() error {
	errs := []error{checkHidden(p.of, p.of, nil)}
	for _, f := range reflect.VisibleFields(p.of) {
		name := typeName(p.of) + "." + f.Name
		if err := tagged.CheckTag(f.Tag, placePath, placeQuery); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		place, found, err := newPlaceField(f)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		case found:
			p.places = append(p.places, place)
		case f.IsExported() && (!f.Anonymous || structOf(f.Type) == nil):
			p.body = p.body || f.Tag.Get("json") != "-"
			errs = append(errs, checkNoPlaces(f.Type, name, nil))
		}
	}
	return errors.Join(errs...)
}

// checkHidden finds tags of embedded structs on fields that Go does not see, because
// others have their names: they would have no effect.
func checkHidden(root, t reflect.Type, around []reflect.Type) error {
	if slices.Contains(around, t) {
		return nil
	}
	var errs []error
	for f := range t.Fields() {
		seen, ok := root.FieldByName(f.Name)
		visible := ok && seen.Type == f.Type && seen.Tag == f.Tag && len(seen.Index) == len(around)+1
		if !visible && hasPlace(f) {
			errs = append(errs, fmt.Errorf("%s.%s: path and query: another field hides this one, so that nothing would be read into it",
				typeName(t), f.Name))
		}
		if inner := structOf(f.Type); f.Anonymous && inner != nil {
			errs = append(errs, checkHidden(root, inner, append(slices.Clone(around), t)))
		}
	}
	return errors.Join(errs...)
}

// checkNoPlaces finds tags where they have no effect.
func checkNoPlaces(t reflect.Type, name string, around []reflect.Type) error {
	of := structOf(elementOf(t))
	if of == nil || slices.Contains(around, of) {
		return nil
	}
	var errs []error
	for f := range of.Fields() {
		inner := name + "." + f.Name
		if hasPlace(f) {
			errs = append(errs, fmt.Errorf("%s: path and query are for the fields of the request itself", inner))
		}
		errs = append(errs, checkNoPlaces(f.Type, inner, append(slices.Clone(around), of)))
	}
	return errors.Join(errs...)
}

package idemhttp

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// selection says which parts of a JSON document count. The zero value: all of
// them. As a document is walked, each of its values has a selection of its own.
//
// What is on the way to a chosen part counts, too, less its other members and
// elements: under only /card/number, {"card":{}}, {"card":null} and {} are three
// different bodies, {"card":{"cvc":1}} and {"card":{"cvc":2}} are one. An
// excluded member counts neither by its value nor by being there.
type selection struct {
	only    *jsonPath // nil: everything
	exclude *jsonPath // nil: nothing
}

// newSelection makes a selection of JSON Pointers (RFC 6901). A number selects
// an element of an array, counted from 0, or a member of that name.
func newSelection(only, exclude []string) (selection, error) {
	err := errors.Join(
		checkPointers("FingerprintOnly", only),
		checkPointers("FingerprintExclude", exclude),
		checkChosen(only, exclude))
	if err != nil {
		return selection{}, err
	}
	return selection{only: newJSONPath(only), exclude: newJSONPath(exclude)}, nil
}

func checkPointers(field string, pointers []string) error {
	var errs []error
	for _, pointer := range pointers {
		if pointer == "" || !jsontext.Pointer(pointer).IsValid() {
			errs = append(errs, fmt.Errorf("%s: %q is no JSON Pointer to a part of a document (RFC 6901): "+
				`it must begin with / and spell "~" as ~0 and "/" as ~1 within a name`, field, pointer))
		}
	}
	return errors.Join(errs...)
}

// checkChosen finds parts that are chosen and excluded, and so never count.
func checkChosen(only, exclude []string) error {
	var errs []error
	for _, chosen := range only {
		for _, excluded := range exclude {
			if jsontext.Pointer(excluded).Contains(jsontext.Pointer(chosen)) {
				errs = append(errs, fmt.Errorf("FingerprintOnly: %q never counts: FingerprintExclude has %q", chosen, excluded))
			}
		}
	}
	return errors.Join(errs...)
}

// member returns the selection of an object's member, and false if the member
// does not count.
func (s selection) member(name []byte) (selection, bool) {
	if s == (selection{}) {
		return s, true
	}
	return s.part(name)
}

// resembles reports whether a name differs, and in case only, from a chosen or
// excluded one: the member does not count as it should if a parser takes it for
// that.
func (s selection) resembles(name []byte, folded string) bool {
	return s.only.resembles(name, folded) || s.exclude.resembles(name, folded)
}

// element is member for an array.
func (s selection) element(index int) (selection, bool) {
	if s == (selection{}) {
		return s, true
	}
	return s.part(strconv.AppendInt(nil, int64(index), 10))
}

func (s selection) part(token []byte) (selection, bool) {
	only, exclude := s.only.to(token), s.exclude.to(token)
	switch {
	case s.only != nil && only == nil, exclude.ends():
		return selection{}, false
	case only.ends():
		only = nil
	}
	return selection{only: only, exclude: exclude}, true
}

// jsonPath is a set of JSON Pointers as a tree of their tokens.
type jsonPath struct {
	end    bool // a pointer ends here
	next   map[string]*jsonPath
	folded foldedNames // those of next
}

func newJSONNode() *jsonPath {
	return &jsonPath{next: make(map[string]*jsonPath), folded: make(foldedNames)}
}

// newJSONPath returns nil for no pointers.
func newJSONPath(pointers []string) *jsonPath {
	if len(pointers) == 0 {
		return nil
	}
	root := newJSONNode()
	for _, pointer := range pointers {
		at := root
		for token := range jsontext.Pointer(pointer).Tokens() {
			at = at.grow(token)
		}
		at.end = true
	}
	return root
}

func (p *jsonPath) grow(token string) *jsonPath {
	if p.next[token] == nil {
		p.next[token] = newJSONNode()
		p.folded.add(foldName([]byte(token)))
	}
	return p.next[token]
}

func (p *jsonPath) to(token []byte) *jsonPath {
	if p == nil {
		return nil
	}
	return p.next[string(token)]
}

func (p *jsonPath) ends() bool { return p != nil && p.end }

func (p *jsonPath) resembles(name []byte, folded string) bool {
	if p == nil {
		return false
	}
	_, near := p.folded[folded]
	_, exact := p.next[string(name)]
	return near && !exact
}

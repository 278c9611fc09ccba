package idemhttp

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// maxJSONDepth bounds how deeply the arrays and objects of a body may be nested
// to be compared by their meaning. It keeps the recursion shallow.
const maxJSONDepth = 500

var errNotComparable = errors.New("JSON that is not safely comparable")

// canonicalJSON returns the parts of a body that count, in canonical form
// (RFC 8785), or false if the body cannot safely be compared by its meaning:
//
//   - it is not one JSON value in UTF-8, without a byte order mark;
//   - an object has a member name twice, however it is escaped, or two that
//     differ in case only ([foldName]), or a string half a surrogate pair: what a
//     handler makes of these is its parser's choice;
//   - a name differs in case only from the chosen or excluded one at its place: a
//     handler's parser may take it for that;
//   - it is nested more than maxJSONDepth deep;
//   - one of the numbers that count is not an integer and would lose something
//     as a float64 ([canonicalNumber]).
//
// Two bodies with equal canonical forms say the same: equal values, numbers
// equal as numbers, in whatever order and spelling. Strings count by their code
// points, without Unicode normalisation.
func canonicalJSON(body []byte, parts selection) ([]byte, bool) {
	var kept bytes.Buffer
	c := jsonCopy{
		// From and to bytes.Buffers there is no copying in between; the decoder
		// leaves the body as it is.
		in: jsontext.NewDecoder(bytes.NewBuffer(body)),
		// The decoder has seen to it that names are unique.
		out: jsontext.NewEncoder(&kept, jsontext.AllowDuplicateNames(true)),
	}
	if err := c.document(parts); err != nil {
		return nil, false
	}
	canonical, err := jsontext.AppendFormat(nil, kept.Bytes(),
		jsontext.AllowDuplicateNames(true), jsontext.ReorderRawObjects(true))
	return canonical, err == nil
}

// jsonCopy copies the parts of a document that count, with strings and numbers
// in canonical form and the members of objects in the order of the original.
type jsonCopy struct {
	in  *jsontext.Decoder
	out *jsontext.Encoder // nil within a part that does not count
}

func (c jsonCopy) document(parts selection) error {
	if err := c.value(parts); err != nil {
		return err
	}
	if _, err := c.in.ReadToken(); !errors.Is(err, io.EOF) {
		return errNotComparable // something follows
	}
	return nil
}

func (c jsonCopy) value(parts selection) error {
	switch c.in.PeekKind() {
	case jsontext.KindBeginObject:
		return c.object(parts)
	case jsontext.KindBeginArray:
		return c.array(parts)
	case jsontext.KindNumber:
		return c.number()
	default: // a string, a literal, or what the decoder will not read
		value, err := c.in.ReadValue()
		if err != nil {
			return err
		}
		return c.write(value)
	}
}

func (c jsonCopy) object(parts selection) error {
	if err := c.begin(); err != nil {
		return err
	}
	names := make(foldedNames)
	for c.in.PeekKind() != jsontext.KindEndObject {
		quoted, err := c.in.ReadValue() // fails at the end of a truncated body
		if err != nil {
			return err
		}
		if err := c.member(quoted, parts, names); err != nil {
			return err
		}
	}
	return c.delimiter()
}

// member copies a member whose name, as it is written, has just been read.
func (c jsonCopy) member(quoted jsontext.Value, parts selection, names foldedNames) error {
	name, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return err // never: the decoder has read it
	}
	folded := foldName(name)
	if !names.add(folded) || parts.resembles(name, folded) {
		return errNotComparable
	}
	inner, counts := parts.member(name)
	if !counts {
		return c.skip()
	}
	if err := c.write(quoted); err != nil {
		return err
	}
	return c.value(inner)
}

// skip reads a value that does not count, and finds in it what makes a body not
// comparable all the same, but for its numbers.
func (c jsonCopy) skip() error {
	c.out = nil
	return c.value(selection{})
}

func (c jsonCopy) array(parts selection) error {
	if err := c.begin(); err != nil {
		return err
	}
	for i := 0; c.in.PeekKind() != jsontext.KindEndArray; i++ {
		inner, counts := parts.element(i)
		var err error
		if counts {
			err = c.value(inner)
		} else {
			err = c.skip()
		}
		if err != nil {
			return err
		}
	}
	return c.delimiter()
}

func (c jsonCopy) begin() error {
	if err := c.delimiter(); err != nil {
		return err
	}
	if c.in.StackDepth() > maxJSONDepth {
		return errNotComparable
	}
	return nil
}

func (c jsonCopy) delimiter() error {
	token, err := c.in.ReadToken()
	if err != nil {
		return err
	}
	if c.out == nil {
		return nil
	}
	return c.out.WriteToken(token)
}

func (c jsonCopy) write(value jsontext.Value) error {
	if c.out == nil {
		return nil
	}
	return c.out.WriteValue(value)
}

func (c jsonCopy) number() error {
	literal, err := c.in.ReadValue()
	if err != nil || c.out == nil {
		return err
	}
	canonical, ok := canonicalNumber(literal)
	if !ok {
		return errNotComparable
	}
	return c.out.WriteValue(canonical)
}

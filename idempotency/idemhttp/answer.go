package idemhttp

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/reprise-go/reprise/internal/framing"
	"github.com/reprise-go/reprise/store"
)

// answerCodec names the encoding of [answer.encode]. Records outlive
// deployments: a changed encoding takes a new name.
const answerCodec = "http/1"

// Bounds of an encoded answer, the same for writing and reading.
const (
	maxMeta   = 64 << 10
	maxFields = 1024
)

var (
	errUnknownCodec  = errors.New("unknown codec")
	errCorruptAnswer = errors.New("corrupt answer")
)

// answer is a response as it is recorded and replayed.
type answer struct {
	status  int
	header  []field // of the recorded names only, a sniffed Content-Type included
	trailer []field
	body    []byte
	omitted store.Omission // why body is not there
}

// encode returns the answer as a store keeps it. Meta is
//
//	status, count of header lines, lines, count of trailer lines, lines
//
// with numbers as uvarints and a line as two length-prefixed strings. The body
// is not copied. An answer whose fields exceed the bounds loses them and its
// body, all but the Location if that fits: its duplicates are told that the
// result was not kept, and never get half of it.
func (a answer) encode() store.Answer {
	meta := a.encodeMeta()
	if len(meta) > maxMeta || len(a.header)+len(a.trailer) > maxFields {
		a = a.withoutFields()
		meta = a.encodeMeta()
	}
	return store.Answer{Codec: answerCodec, Meta: meta, Body: a.body, Omitted: a.omitted}
}

func (a answer) withoutFields() answer {
	bare := answer{status: a.status, omitted: a.omitted}
	if bare.omitted == store.BodyKept {
		bare.omitted = store.BodyTooLarge
	}
	if location := a.location(); location != "" && len(location) <= maxMeta/2 {
		bare.header = []field{{"Location", location}}
	}
	return bare
}

// location returns the answer's Location, which is kept even where the body is
// not; "" if there is none.
func (a answer) location() string {
	for _, f := range a.header {
		if f.name == "Location" {
			return f.value
		}
	}
	return ""
}

func (a answer) encodeMeta() []byte {
	size := 3 * framing.Size(maxFields)
	for _, fields := range [][]field{a.header, a.trailer} {
		for _, f := range fields {
			size += framing.Size(len(f.name)) + framing.Size(len(f.value))
		}
	}
	meta := framing.AppendNumber(make([]byte, 0, size), a.status)
	for _, fields := range [][]field{a.header, a.trailer} {
		meta = framing.AppendNumber(meta, len(fields))
		for _, f := range fields {
			meta = framing.Append(framing.Append(meta, f.name), f.value)
		}
	}
	return meta
}

// decodeAnswer reads what [answer.encode] wrote, and nothing else: for every
// accepted answer, encode gives back the same bytes. The body is not copied.
//
// Errors: errUnknownCodec, errCorruptAnswer.
func decodeAnswer(recorded store.Answer) (answer, error) { return decodeAnswerInto(nil, recorded) }

// decodeAnswerInto puts the header fields where there is room for them, if there is.
func decodeAnswerInto(room []field, recorded store.Answer) (answer, error) {
	if recorded.Codec != answerCodec {
		return answer{}, fmt.Errorf("%w %q", errUnknownCodec, recorded.Codec)
	}
	a := answer{header: room[:0], body: recorded.Body, omitted: recorded.Omitted}
	if err := a.readMeta(recorded.Meta); err != nil {
		return answer{}, fmt.Errorf("%w: %w", errCorruptAnswer, err)
	}
	if err := a.check(); err != nil {
		return answer{}, fmt.Errorf("%w: %w", errCorruptAnswer, err)
	}
	return a, nil
}

// checkAnswer says what is wrong with an answer that no handler gave.
func checkAnswer(supplied store.Answer) error {
	_, err := decodeAnswer(supplied)
	return err
}

func (a *answer) readMeta(meta []byte) error {
	if len(meta) > maxMeta {
		return fmt.Errorf("%d bytes of metadata, more than %d", len(meta), maxMeta)
	}
	in := framing.NewReader(meta)
	a.status = in.Number(999)
	for _, fields := range []*[]field{&a.header, &a.trailer} {
		in.Pairs(maxFields, func(name, value string) { *fields = append(*fields, field{name, value}) })
	}
	if err := in.End(); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	return nil
}

func (a *answer) check() error {
	switch {
	case !isFinal(a.status):
		return fmt.Errorf("status %d is not a final one", a.status)
	case a.omitted > store.BodyStreamed:
		return fmt.Errorf("unknown reason %d for a missing body", a.omitted)
	case a.omitted != store.BodyKept && len(a.body) > 0:
		return errors.New("a body that is said to be missing")
	case !bodyAllowed(a.status) && len(a.body) > 0:
		return fmt.Errorf("a body on status %d", a.status)
	case len(a.header)+len(a.trailer) > maxFields:
		return fmt.Errorf("more than %d fields", maxFields)
	}
	for _, f := range a.header {
		if !isCanonical(f.name) {
			return errors.New("a malformed header name")
		}
	}
	for _, f := range a.trailer {
		if !isCanonical(f.name) || unsafeTrailer(f.name) {
			return errors.New("a malformed or forbidden trailer name")
		}
	}
	return nil
}

// isFinal reports whether a handler's status ends the response; 101 does, the
// other 1xx announce a further one.
func isFinal(status int) bool {
	return status == http.StatusSwitchingProtocols || status >= 200 && status <= 999
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

func isCanonical(name string) bool {
	return isToken(name) && http.CanonicalHeaderKey(name) == name
}

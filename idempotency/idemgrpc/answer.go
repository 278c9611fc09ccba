package idemgrpc

import (
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/internal/framing"
	"github.com/reprise-go/reprise/store"
)

// answerCodec names the encoding of [answer.encode]. Records outlive
// deployments: a changed encoding takes a new name.
const answerCodec = "grpc/1"

// Bounds of an encoded answer, the same for writing and reading.
const (
	maxMeta    = 64 << 10
	maxEntries = 1024
)

var (
	errUnknownCodec  = errors.New("unknown codec")
	errOtherType     = errors.New("messages of another type")
	errCorruptAnswer = errors.New("corrupt answer")
)

// answer is a call's outcome as it is recorded and replayed.
type answer struct {
	code     codes.Code
	header   []entry // of the recorded names only
	trailer  []entry
	typeName string   // of the messages, in full
	status   []byte   // google.rpc.Status; empty for OK
	messages [][]byte // in order; exactly one for a unary success
	omitted  store.Omission
}

// encode returns the answer as a store keeps it. Meta is
//
//	code, type of the messages, count of header entries, entries, count of trailer entries, entries
//
// and Body
//
//	status, messages
//
// with numbers as uvarints and all else length-prefixed. The code stands in
// Meta, too, since that is kept where a body is not. An answer of more than
// limit bytes loses its body; one whose metadata exceeds the bounds loses both:
// its duplicates are told that the result was not kept, and never get half of it.
func (a answer) encode(limit int64) store.Answer {
	if a.omitted == store.BodyKept && int64(a.bodySize()) > limit {
		a.omitted = store.BodyTooLarge
	}
	meta := a.encodeMeta()
	if len(meta) > maxMeta || len(a.header)+len(a.trailer) > maxEntries {
		a.header, a.trailer = nil, nil
		if a.omitted == store.BodyKept {
			a.omitted = store.BodyTooLarge
		}
		meta = a.encodeMeta()
	}
	out := store.Answer{Codec: answerCodec, Meta: meta, Omitted: a.omitted}
	if a.omitted == store.BodyKept {
		out.Body = a.encodeBody()
	}
	return out
}

func (a answer) encodeMeta() []byte {
	meta := framing.AppendNumber(nil, int(a.code))
	meta = framing.Append(meta, a.typeName)
	for _, entries := range [][]entry{a.header, a.trailer} {
		meta = framing.AppendNumber(meta, len(entries))
		for _, e := range entries {
			meta = framing.Append(framing.Append(meta, e.name), e.value)
		}
	}
	return meta
}

func (a answer) encodeBody() []byte {
	body := framing.Append(make([]byte, 0, a.bodySize()), a.status)
	for _, message := range a.messages {
		body = framing.Append(body, message)
	}
	return body
}

func (a answer) bodySize() int {
	size := framing.Size(len(a.status))
	for _, message := range a.messages {
		size += framing.Size(len(message))
	}
	return size
}

// decodeAnswer reads what [answer.encode] wrote, and nothing else: for every
// accepted answer, encode gives back the same bytes. The body is not copied.
//
// Errors: errUnknownCodec, errCorruptAnswer.
func decodeAnswer(recorded store.Answer) (answer, error) {
	if recorded.Codec != answerCodec {
		return answer{}, fmt.Errorf("%w %q", errUnknownCodec, recorded.Codec)
	}
	a := answer{omitted: recorded.Omitted}
	if err := a.readMeta(recorded.Meta); err != nil {
		return answer{}, fmt.Errorf("%w: %w", errCorruptAnswer, err)
	}
	if err := a.readBody(recorded.Body); err != nil {
		return answer{}, fmt.Errorf("%w: %w", errCorruptAnswer, err)
	}
	return a, nil
}

func (a *answer) readMeta(meta []byte) error {
	if len(meta) > maxMeta {
		return fmt.Errorf("%d bytes of metadata, more than %d", len(meta), maxMeta)
	}
	in := framing.NewReader(meta)
	a.code = codes.Code(in.Number(maxCode))
	a.typeName = string(in.Bytes())
	for _, entries := range []*[]entry{&a.header, &a.trailer} {
		in.Pairs(maxEntries, func(name, value string) { *entries = append(*entries, entry{name, value}) })
	}
	if err := in.End(); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	if len(a.header)+len(a.trailer) > maxEntries {
		return fmt.Errorf("more than %d entries", maxEntries)
	}
	for _, entries := range [][]entry{a.header, a.trailer} {
		for _, e := range entries {
			if unsafeMetadata(e.name) != "" {
				return errors.New("a malformed or forbidden metadata name")
			}
		}
	}
	return nil
}

// maxCode is beyond all codes there are: a handler may send any number.
const maxCode = 1<<31 - 1

func (a *answer) readBody(body []byte) error {
	switch {
	case a.omitted > store.BodyStreamed:
		return fmt.Errorf("unknown reason %d for a missing body", a.omitted)
	case a.omitted != store.BodyKept && len(body) > 0:
		return errors.New("a body that is said to be missing")
	case a.omitted != store.BodyKept:
		return nil
	}
	in := framing.NewReader(body)
	a.status = in.Bytes()
	for in.More() {
		a.messages = append(a.messages, in.Bytes())
	}
	if err := in.End(); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return a.checkStatus()
}

func (a *answer) checkStatus() error {
	if (a.code == codes.OK) != (len(a.status) == 0) {
		return errors.New("status and code do not agree")
	}
	if a.code == codes.OK {
		return nil
	}
	var st status.Status
	if err := proto.Unmarshal(a.status, &st); err != nil {
		return errors.New("the status is not one")
	}
	if codes.Code(st.GetCode()) != a.code {
		return errors.New("status and code do not agree")
	}
	return nil
}

// statusError is the recorded status as a handler returns one.
func (a answer) statusError() error {
	var st status.Status
	if err := proto.Unmarshal(a.status, &st); err != nil {
		return fmt.Errorf("%w: the status is not one", errCorruptAnswer) // decodeAnswer has read it before
	}
	return grpcstatus.FromProto(&st).Err()
}

package idemgrpc

import (
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/store"
)

// Settled is an answer that no handler gave: see [NewAnswer].
type Settled struct {
	// Status is an error, or nil for OK.
	Status *status.Status
	// Messages are the response: exactly one for a success of a unary method.
	// All are of one type, the method's.
	Messages []proto.Message
	// Header and Trailer are replayed whatever the method's list is.
	Header, Trailer metadata.MD
}

// NewAnswer makes an answer that no handler gave: for [idempotency.Settlement]
// and for [idempotency.Happened], when an operation's outcome was found out by
// other means. Duplicates get it as they would get a handler's.
//
// Errors name the message, the status, the metadata or the limit that is wrong, such
// as a nil message, and a value that gRPC does not send. Which messages the method
// can answer is checked where the answer is given. No round trip.
func NewAnswer(s Settled) (store.Answer, error) {
	a := answer{}
	for i, message := range s.Messages {
		if message == nil || !message.ProtoReflect().IsValid() {
			return store.Answer{}, fmt.Errorf("idemgrpc: NewAnswer: message %d is nil", i)
		}
		name := string(message.ProtoReflect().Descriptor().FullName())
		if i > 0 && name != a.typeName {
			return store.Answer{}, fmt.Errorf("idemgrpc: NewAnswer: message %d is a %s, not a %s", i, name, a.typeName)
		}
		encoded, err := (proto.MarshalOptions{Deterministic: true}).Marshal(message)
		if err != nil {
			return store.Answer{}, fmt.Errorf("idemgrpc: NewAnswer: message %d: %w", i, err)
		}
		a.typeName, a.messages = name, append(a.messages, encoded)
	}
	if a.code = s.Status.Code(); a.code > maxCode {
		return store.Answer{}, fmt.Errorf("idemgrpc: NewAnswer: the status: no client can read the code %d", a.code)
	}
	if a.code != codes.OK {
		encoded, err := (proto.MarshalOptions{Deterministic: true}).Marshal(s.Status.Proto())
		if err != nil {
			return store.Answer{}, fmt.Errorf("idemgrpc: NewAnswer: the status: %w", err)
		}
		a.status = encoded
	}
	var err error
	if a.header, err = allEntries(s.Header); err != nil {
		return store.Answer{}, fmt.Errorf("idemgrpc: NewAnswer: %w", err)
	}
	if a.trailer, err = allEntries(s.Trailer); err != nil {
		return store.Answer{}, fmt.Errorf("idemgrpc: NewAnswer: %w", err)
	}
	return a.encodeWhole()
}

func (a answer) encodeWhole() (store.Answer, error) {
	const noLimit = 1 << 62 // the store has one
	encoded := a.encode(noLimit)
	if encoded.Omitted != store.BodyKept { // encode gives up metadata rather than an answer
		return store.Answer{}, fmt.Errorf("idemgrpc: NewAnswer: the metadata has more than %d entries or %d bytes", maxEntries, maxMeta)
	}
	return encoded, nil
}

func allEntries(md metadata.MD) ([]entry, error) {
	names := make([]string, 0, len(md))
	for name := range md {
		names = append(names, name)
	}
	slices.Sort(names)
	names = recordedNames(names)
	entries := pickEntries(md, names)
	for _, e := range entries {
		if !isSendable(e.name, e.value) {
			return nil, fmt.Errorf("metadata %q has a value with characters that are not printable ASCII", e.name)
		}
	}
	return entries, checkMetadataNames(names)
}

package idemgrpc

import (
	"errors"
	"fmt"
	"reflect"

	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/idempotency"
)

// Codec records the results of protected functions (see [idempotency.WithCodec]) as
// protobuf messages, so that a result may change as a .proto file may: fields that an
// older version did not know are empty in its records. The functions' result must be
// a pointer to a generated message: any other type is an error of Wrap and Weave, and of
// Do before anything runs. A nil message stays nil. Safe for concurrent use.
func Codec() idempotency.Codec { return protoCodec{} }

// The first byte of a recorded result.
const (
	nilMessage = 0
	aMessage   = 1
)

type protoCodec struct{}

func (protoCodec) Name() string { return "proto/1" }

// CheckType makes it an [idempotency.TypeChecker].
func (protoCodec) CheckType(t reflect.Type) error {
	if !isMessage(t) {
		return fmt.Errorf("idemgrpc: %s is no pointer to a generated protobuf message", t)
	}
	return nil
}

func isMessage(t reflect.Type) bool {
	return t.Kind() == reflect.Pointer && t.Implements(reflect.TypeFor[proto.Message]())
}

func (protoCodec) Encode(v any) ([]byte, error) {
	slot, err := messageSlot(v)
	if err != nil {
		return nil, err
	}
	if slot.IsNil() {
		return []byte{nilMessage}, nil
	}
	message, _ := reflect.TypeAssert[proto.Message](slot)
	return proto.MarshalOptions{Deterministic: true}.MarshalAppend([]byte{aMessage}, message)
}

func (protoCodec) Decode(data []byte, v any) error {
	slot, err := messageSlot(v)
	switch {
	case err != nil:
		return err
	case len(data) == 1 && data[0] == nilMessage:
		slot.SetZero()
		return nil
	case len(data) == 0 || data[0] != aMessage:
		return errors.New("it is no recorded message")
	}
	slot.Set(reflect.New(slot.Type().Elem()))
	message, _ := reflect.TypeAssert[proto.Message](slot)
	return proto.Unmarshal(data[1:], message)
}

// messageSlot returns the variable that v points to, which holds a message.
func messageSlot(v any) (reflect.Value, error) {
	slot := reflect.ValueOf(v)
	if slot.Kind() == reflect.Pointer && !slot.IsNil() {
		slot = slot.Elem()
	}
	if !slot.CanSet() || !isMessage(slot.Type()) {
		return slot, fmt.Errorf("idemgrpc: %T is no pointer to a result that is a generated protobuf message", v)
	}
	return slot, nil
}

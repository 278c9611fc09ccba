package idemgrpc

import (
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"

	"github.com/reprise-go/reprise/store"
)

// takes says why an answer that no handler gave is none of this method's.
func (m *method) takes(supplied store.Answer) error {
	a, messages, err := m.decode(supplied)
	switch {
	case errors.Is(err, errOtherType):
		return fmt.Errorf("%w: %s, not %s", err, a.typeName, m.output.Descriptor().FullName())
	case err != nil:
		return err
	case supplied.Omitted != store.BodyKept:
		return nil
	}
	return m.checkCount(a, len(messages))
}

// checkCount says why so many messages are no answer of this method's.
func (m *method) checkCount(a answer, messages int) error {
	switch {
	case m.serverStreams:
		return nil
	case a.code == codes.OK && messages != 1:
		return fmt.Errorf("%w: a success of a unary method has one message, not %d", errCorruptAnswer, messages)
	case a.code != codes.OK && messages > 0:
		return fmt.Errorf("%w: an error of a unary method has no message", errCorruptAnswer)
	}
	return nil
}

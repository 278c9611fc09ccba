package idemgrpc

import (
	"errors"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// register registers a service's operations, all or none: what was refused can be put
// right and tried again.
func (i *Interceptor) register(plans []*method) error {
	var errs []error
	for _, m := range plans {
		if i.doubtful(m) {
			_, err := i.operation(m) // which registers nothing new
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, m := range plans {
		var err error
		if m.live, err = i.operation(m); err != nil {
			return err
		}
		m.op = m.live.Current()
	}
	return nil
}

func (i *Interceptor) operation(m *method, more ...idempotency.OperationOption) (*idempotency.Operation, error) {
	opts := append([]idempotency.OperationOption{idempotency.Replays(answerCodec, m.takes)}, m.options...)
	return i.guard.Operation(m.name, append(opts, more...)...)
}

// doubtful reports that the guard may refuse an operation, and cannot register it
// anew. Nothing but the guard knows what is wrong with its options: with one added
// that is always refused, it complains of that one alone if the others are right.
func (i *Interceptor) doubtful(m *method) bool {
	if _, known := i.guard.Registered(m.name); known || len(m.name) > store.MaxOperationName {
		return true
	}
	refused := idempotency.NoOperationOption("this", "nothing")
	_, alone := i.guard.Operation(m.name, refused)
	_, err := i.operation(m, refused)
	return alone != nil && err != nil && err.Error() != alone.Error()
}

package idemgrpc

import (
	"errors"

	"github.com/reprise-go/reprise/idempotency"
)

// register registers a service's operations, all or none: what was refused can be put
// right and tried again.
func (i *Interceptor) register(plans []*method) error {
	errs := make([]error, 0, len(plans))
	for _, m := range plans {
		errs = append(errs, i.guard.CheckOperation(m.name, i.optionsOf(m)...))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, m := range plans {
		var err error
		if m.live, err = i.guard.Operation(m.name, i.optionsOf(m)...); err != nil {
			return err
		}
		m.op = m.live.Current()
	}
	return nil
}

func (i *Interceptor) optionsOf(m *method) []idempotency.OperationOption {
	return append([]idempotency.OperationOption{idempotency.Replays(answerCodec, m.takes)}, m.options...)
}

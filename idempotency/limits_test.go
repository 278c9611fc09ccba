package idempotency_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

func TestExecutionsInFlightAreBounded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		limits idempotency.Limits
		code   idempotency.Code
		other  bool // another scope still gets in
	}{
		{"for a scope", idempotency.Limits{InFlightPerScope: 3}, idempotency.ErrScopeBusy, true},
		{"in all", idempotency.Limits{InFlight: 3}, idempotency.ErrOverloaded, false},
		{"the scope's comes first", idempotency.Limits{InFlight: 3, InFlightPerScope: 3}, idempotency.ErrScopeBusy, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBackend()
				p := start(t, b, idempotency.WithLimits(tt.limits))
				op := p.operation(t)
				var all []*running
				for i := range 3 {
					all = append(all, begin(t.Context(), op, call(strconv.Itoa(i)), takes(time.Second, "a")))
				}
				synctest.Wait()
				_, err := op.Execute(t.Context(), call("surplus"), forbidden(t))
				assert.Equal(t, time.Second, refusal(t, err, tt.code).RetryAfter)
				assert.Equal(t, 3, b.size(), "nothing was stored for it")
				other := call("other")
				other.Scope = "another"
				_, err = op.Execute(t.Context(), other, gives(recorded("a")))
				assert.Equal(t, tt.other, err == nil)
				for _, r := range all {
					_, err := r.wait()
					require.NoError(t, err)
				}
				_, err = op.Execute(t.Context(), call("surplus"), gives(recorded("a")))
				require.NoError(t, err, "room again, and nothing recorded of the refusal")
			})
		})
	}
}

func TestLimitsAreChecked(t *testing.T) {
	t.Parallel()
	for _, limits := range []idempotency.Limits{{Waiters: -1}, {InFlight: -1}, {InFlightPerScope: -1}} {
		_, err := idempotency.New(newNode(newBackend()), idempotency.WithLimits(limits))
		require.ErrorContains(t, err, "WithLimits: a negative limit")
	}
}

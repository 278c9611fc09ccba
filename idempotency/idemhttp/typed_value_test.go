package idemhttp

import (
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

// A record that another process made may be met while the handler is at work on
// its request: that one is as it came, all the same.
func TestF23_OtherAlgorithmsSeeTheRequestAsItCame(t *testing.T) {
	t.Parallel()
	type before struct{ Amount int64 }
	type now struct{ Amount, Fee int64 }
	fingerprintsOf := func(typ reflect.Type) *requestFingerprints {
		plan, err := newRequestPlan(typ)
		require.NoError(t, err)
		r, body := httptest.NewRequest("POST", "/", nil), []byte(`{"Amount":5}`)
		value, err := plan.decode(r, body)
		require.NoError(t, err)
		f := newTestFingerprinter(t, idempotency.Policy{}).forStruct(plan.tags).request(r, body)
		f.typed = typedRequest{plan: plan, value: value}
		return f
	}
	recorded := fingerprintsOf(reflect.TypeFor[before]())
	want, ok := recorded.by(recorded.own.algorithm)
	require.True(t, ok)

	met := fingerprintsOf(reflect.TypeFor[now]())
	own, ok := met.by(met.own.algorithm)
	require.True(t, ok)
	require.NotEqual(t, want, own)
	met.typed.value.Elem().Field(0).SetInt(7)
	got, ok := met.by(recorded.own.algorithm)
	require.True(t, ok)
	assert.Equal(t, want, got)
	again, _ := met.by(met.own.algorithm)
	assert.Equal(t, own, again)
}

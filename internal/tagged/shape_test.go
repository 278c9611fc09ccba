package tagged_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/store"
)

// The versions of one struct over three deployments.
type (
	payment1 struct {
		ID     string `idempotency:"key"`
		Amount int
	}
	payment2 struct {
		ID     string `idempotency:"key"`
		Amount int
		Note   string
	}
	payment3 struct {
		ID     string `idempotency:"key"`
		Amount int
		Note   string
		Card   *struct{ Number, Name, Expires string }
	}
	paymentX struct {
		ID     string `idempotency:"key"`
		Amount int    `json:"amount"`
	}
)

func TestAFieldAddedInADeploymentMakesNoRetryAnotherRequest_F23(t *testing.T) {
	t.Parallel()
	first, _, err := planOf(t, payment1{}).Bound(reflect.ValueOf(payment1{"k", 7}))
	require.NoError(t, err)
	card := &struct{ Number, Name, Expires string }{"4242", "", ""}
	tests := []struct {
		name   string
		retry  any
		known  bool
		equals bool
	}{
		{"the same struct", payment1{"k", 7}, true, true},
		{"one more field, not set", payment2{"k", 7, ""}, true, true},
		{"one more field, which the first process did not see", payment2{"k", 7, "n"}, false, false},
		{"two more fields, not set", payment3{"k", 7, "", nil}, true, true},
		{"two more fields, one of them a struct that is set", payment3{"k", 7, "", card}, false, false},
		{"another request", payment2{"k", 8, ""}, true, false},
		{"a field renamed", paymentX{"k", 7}, false, false},
		{"no struct", []int{7}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bound, known := planOf(t, tt.retry).BoundBy(reflect.ValueOf(tt.retry), first.Algorithm)
			assert.Equal(t, tt.known, known, "an unknown algorithm is never compared")
			assert.Equal(t, tt.equals, bound.Equal(first))
		})
	}
}

// The pairs of fields to leave out are tried up to 64 fields: one field more is found
// beyond that, two are not.
func TestTwoFieldsMoreAreLookedForInStructsOfBoundedSize(t *testing.T) {
	t.Parallel()
	withFields := func(n int) reflect.Value {
		fields := make([]reflect.StructField, n)
		for i := range fields {
			fields[i] = reflect.StructField{Name: fmt.Sprintf("F%03d", i), Type: reflect.TypeFor[int]()}
		}
		return reflect.New(reflect.StructOf(fields)).Elem()
	}
	for _, tt := range []struct {
		before, after int
		known         bool
	}{{62, 64, true}, {63, 64, true}, {63, 65, false}, {64, 65, true}} {
		algorithm := planOf(t, withFields(tt.before).Interface()).Algorithm()
		after := withFields(tt.after)
		_, known := planOf(t, after.Interface()).BoundBy(after, algorithm)
		assert.Equal(t, tt.known, known, "%d fields, then %d", tt.before, tt.after)
	}
}

// A buffer that one giant needed would stay for as long as the plan does.
func TestBuffersOfGiantsAreNotKept(t *testing.T) {
	in := &payment2{"k", 7, strings.Repeat("n", 1<<20)}
	plan := planOf(t, in)
	v := reflect.ValueOf(in)
	assert.Greater(t, testing.AllocsPerRun(20, func() { _, _, _ = plan.Bound(v) }), 1.0)
}

func TestAlgorithmNamesWhatCounts(t *testing.T) {
	t.Parallel()
	name := func(v any) string { return planOf(t, v).Algorithm() }
	assert.Equal(t, "fn/1", name([]string{}))
	assert.Len(t, name(payment1{}), 8)
	assert.NotEqual(t, name(payment1{}), name(payment2{}))
	assert.NotEqual(t, name(payment1{}), name(paymentX{}))
	assert.Equal(t, name(payment1{}), name(&payment1{}))

	bound, known := planOf(t, payment1{}).BoundBy(reflect.ValueOf(payment1{}), store.NoFingerprint)
	assert.True(t, known)
	assert.Equal(t, store.Fingerprint{Algorithm: store.NoFingerprint}, bound)
}

func TestFingerprintsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	bound, size, err := planOf(t, payment2{}).Bound(reflect.ValueOf(payment2{"k", 7, "n"}))
	require.NoError(t, err)
	assert.Equal(t, len(`{"Amount":7,"Note":"n"}`), size)
	assert.Equal(t, "f1", bound.Algorithm[:2])
	assert.Equal(t, "f1ac723a 65b85e6a91f257220261516f0b48c3f26dd5bf620fbffccf38ffd01bfccc8712", fmt.Sprintf("%s %x", bound.Algorithm, bound.Sum))
}

func TestCommonRequestsAllocateNothing(t *testing.T) {
	in := &payment2{"k", 7, "n"}
	plan := planOf(t, in)
	v := reflect.ValueOf(in)
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _, _ = plan.Bound(v) }), 1.0)
}

package idemgrpc

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/store"
)

func ordersFingerprinter(t *testing.T, excluded ...string) fingerprinter {
	t.Helper()
	method := testpb.File_orders_proto.Services().ByName("Orders").Methods().ByName("Create")
	f, err := newFingerprinter(method, idempotency.DefaultPolicy(), excluded)
	require.NoError(t, err)
	return f
}

// mapped is an order whose client wrote its maps in some order, one of them in a
// message.
func mapped(t *testing.T, entries ...string) []byte {
	t.Helper()
	wire, err := proto.Marshal(&testpb.Order{Amount: 5})
	require.NoError(t, err)
	const counts = 4
	for _, name := range entries {
		one, err := proto.MarshalOptions{Deterministic: true}.Marshal(&testpb.Order{Counts: map[string]int32{name: 1}})
		require.NoError(t, err)
		number, _, size := protowire.ConsumeField(one)
		require.EqualValues(t, counts, number)
		wire = append(wire, one[:size]...)
	}
	return wire
}

// A server that does not know a map yet cannot sort it. Two tries of one call must
// not look like two calls, and the servers that know it must agree.
func TestG20_AMapThatOneServerDoesNotKnowYet(t *testing.T) {
	t.Parallel()
	for _, excluded := range [][]string{nil, {"request_id"}} {
		f := ordersFingerprinter(t, excluded...)
		old := dynamicWithout(t, "Order", func(field string) bool { return field == "counts" })
		read := func(wire []byte) (unaware, aware proto.Message) {
			unaware, aware = old.New().Interface(), &testpb.Order{}
			require.NoError(t, proto.Unmarshal(wire, unaware))
			require.NoError(t, proto.Unmarshal(wire, aware))
			return unaware, aware
		}
		firstOld, firstNew := read(mapped(t, "a", "b", "c"))
		againOld, againNew := read(mapped(t, "c", "a", "b"))
		otherOld, otherNew := read(mapped(t, "c", "a", "d"))

		byOld := f.of(firstOld.ProtoReflect(), nil)
		assert.Equal(t, byOld, f.of(againOld.ProtoReflect(), nil), "the same call")
		assert.NotEqual(t, byOld, f.of(otherOld.ProtoReflect(), nil), "another call")

		aware, ok := f.by(byOld.Algorithm, againNew.ProtoReflect(), nil)
		require.True(t, ok)
		assert.Equal(t, byOld, aware, "a server that knows the field finds the record of one that does not")
		aware, ok = f.by(byOld.Algorithm, otherNew.ProtoReflect(), nil)
		require.True(t, ok)
		assert.NotEqual(t, byOld, aware)

		byNew := f.of(firstNew.ProtoReflect(), nil)
		assert.Equal(t, f.algorithm, byNew.Algorithm)
		_, ok = f.by(byNew.Algorithm, againOld.ProtoReflect(), nil)
		assert.False(t, ok, "the reverse cannot be compared, and says so")
	}
}

func TestG20_AMapWithinAnAny(t *testing.T) {
	t.Parallel()
	f := ordersFingerprinter(t)
	with := func(entries ...string) store.Fingerprint {
		order := &testpb.Order{Extra: &anypb.Any{TypeUrl: "type.googleapis.com/x", Value: mapped(t, entries...)}}
		return f.of(order.ProtoReflect(), nil)
	}
	assert.Equal(t, "grpc/1m", with("a", "b").Algorithm)
	assert.Equal(t, with("a", "b"), with("b", "a"))
	assert.NotEqual(t, with("a", "b"), with("a", "c"))
	assert.Equal(t, "grpc/1", with("a").Algorithm, "one entry has no order")
}

func TestTheUnorderedFormNeverChanges(t *testing.T) {
	t.Parallel()
	f := ordersFingerprinter(t, "request_id")
	sum, ok := f.by("m1"+f.algorithm[2:], everyKind().ProtoReflect(), nil)
	require.True(t, ok)
	assert.Equal(t, "0efcf823c5bd2135e372d3799e2e2199289f863ac8c2fb8bccd33ab10543bf2e", hex.EncodeToString(sum.Sum[:]))
}

func FuzzUnordered(f *testing.F) {
	f.Add([]byte{0x0a, 0x00, 0x0a, 0x01, 0x41}, uint64(1))
	f.Add(bytes.Repeat([]byte{0x0a, 0x02}, 40), uint64(2))
	f.Fuzz(func(t *testing.T, wire []byte, seed uint64) {
		form := unordered(wire)
		assert.LessOrEqual(t, len(form), len(wire)) // lengths in their shortest spelling
		assert.Equal(t, form, unordered(form))
		fields, ok := split(wire)
		if !ok {
			return
		}
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
		var shuffled []byte
		for _, field := range fields {
			shuffled = append(shuffled, field.raw...)
		}
		assert.Equal(t, form, unordered(shuffled))
	})
}

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

func fingerprintOf(t *testing.T, f fingerprinter, m proto.Message) store.Fingerprint {
	t.Helper()
	made, err := f.of(m.ProtoReflect(), nil)
	require.NoError(t, err)
	return made
}

// mapped is an order whose client wrote the entries of a map in this order.
func mapped(t *testing.T, entries ...string) []byte {
	t.Helper()
	wire, err := proto.Marshal(&testpb.Order{Amount: 5})
	require.NoError(t, err)
	for _, name := range entries {
		one, err := proto.Marshal(&testpb.Order{Counts: map[string]int32{name: 1}})
		require.NoError(t, err)
		wire = append(wire, one...)
	}
	return wire
}

// A server that does not know a map yet cannot sort it. Two tries of one call must
// not look like two calls, and what cannot be compared must not look different.
func TestG20_AMapThatOneServerDoesNotKnowYet(t *testing.T) {
	t.Parallel()
	for _, excluded := range [][]string{nil, {"request_id"}} {
		f := ordersFingerprinter(t, excluded...)
		old := dynamicWithout(t, "Order", func(field string) bool { return field == "counts" })
		read := func(entries ...string) (unaware, aware proto.Message) {
			wire := mapped(t, entries...)
			unaware, aware = old.New().Interface(), &testpb.Order{}
			require.NoError(t, proto.Unmarshal(wire, unaware))
			require.NoError(t, proto.Unmarshal(wire, aware))
			return unaware, aware
		}
		firstOld, firstNew := read("a", "b", "c")
		againOld, againNew := read("c", "a", "b")
		otherOld, _ := read("c", "a", "d")

		byOld, byNew := fingerprintOf(t, f, firstOld), fingerprintOf(t, f, firstNew)
		assert.Equal(t, byOld, fingerprintOf(t, f, againOld), "the same call")
		assert.NotEqual(t, byOld, fingerprintOf(t, f, otherOld), "another call")
		again, ok := f.by(byOld.Algorithm, againOld.ProtoReflect(), nil)
		assert.True(t, ok)
		assert.Equal(t, byOld, again)

		assert.Equal(t, f.algorithm, byNew.Algorithm)
		_, ok = f.by(byNew.Algorithm, againOld.ProtoReflect(), nil)
		assert.False(t, ok, "this server cannot compare it, and says so")
		_, ok = f.by(byOld.Algorithm, againNew.ProtoReflect(), nil)
		assert.False(t, ok, "nor can that one")
	}
}

// What another server did not know is not the same as what this one does not.
func TestG20_ServersThatAreBlindInDifferentPlaces(t *testing.T) {
	t.Parallel()
	wire, err := proto.Marshal(&testpb.Order{Counts: map[string]int32{"a": 1, "b": 2}, Items: []*testpb.Item{{Name: "i"}, {Name: "j"}}})
	require.NoError(t, err)
	f := ordersFingerprinter(t)
	var made []store.Fingerprint
	for _, gone := range []map[string]bool{{"counts": true}, {"counts": true, "items": true}} {
		m := dynamicWithout(t, "Order", func(field string) bool { return gone[field] }).New().Interface()
		require.NoError(t, proto.Unmarshal(wire, m))
		made = append(made, fingerprintOf(t, f, m))
	}
	assert.NotEqual(t, made[0].Algorithm, made[1].Algorithm)
}

func TestG20_AMapWithinAnAny(t *testing.T) {
	t.Parallel()
	f := ordersFingerprinter(t)
	for _, url := range []string{"type.googleapis.com/none.such", "type.googleapis.com/reprise.test.v1.Order"} {
		with := func(entries ...string) store.Fingerprint {
			return fingerprintOf(t, f, &testpb.Order{Extra: &anypb.Any{TypeUrl: url, Value: mapped(t, entries...)}})
		}
		assert.NotEqual(t, "grpc/1", with("a", "b").Algorithm)
		assert.Equal(t, with("a", "b"), with("b", "a"))
		assert.NotEqual(t, with("a", "b"), with("a", "c"))
		assert.Equal(t, "grpc/1", with("a").Algorithm, "one entry has no order")
	}
	items := func(names ...string) store.Fingerprint {
		order := &testpb.Order{}
		for _, name := range names {
			order.Items = append(order.Items, &testpb.Item{Name: name})
		}
		packed, err := anypb.New(order)
		require.NoError(t, err)
		return fingerprintOf(t, f, &testpb.Order{Extra: packed})
	}
	assert.NotEqual(t, items("a", "b"), items("b", "a"), "a list of a type that is known has its order")
}

// Order is taken out of what is not known, and of nothing else.
func TestWhatIsKnownKeepsItsOrder(t *testing.T) {
	t.Parallel()
	f := ordersFingerprinter(t)
	blind := &anypb.Any{TypeUrl: "x", Value: mapped(t, "a", "b")}
	for name, pair := range map[string][2]*testpb.Order{
		"text that reads as fields": {
			{Payment: &testpb.Order_Card{Card: "100000001100000002"}}, {Payment: &testpb.Order_Card{Card: "100000002100000001"}},
		},
		"a list":         {{Items: []*testpb.Item{{Name: "a"}, {Name: "b"}}}, {Items: []*testpb.Item{{Name: "b"}, {Name: "a"}}}},
		"packed numbers": {{Deltas: []int32{4, 100, 8, 2}}, {Deltas: []int32{8, 2, 4, 100}}},
	} {
		pair[0].Extra, pair[1].Extra = blind, blind
		one, other := fingerprintOf(t, f, pair[0]), fingerprintOf(t, f, pair[1])
		assert.Equal(t, one.Algorithm, other.Algorithm, name)
		assert.NotEqual(t, one, other, name)
	}
}

func TestTheUnorderedFormNeverChanges(t *testing.T) {
	t.Parallel()
	order := everyKind()
	order.Extra.Value = mapped(t, "b", "a")
	made := fingerprintOf(t, ordersFingerprinter(t, "request_id"), order)
	assert.Equal(t, "m11e4f79", made.Algorithm)
	assert.Equal(t, "f9d0ff9b7d15d85cb7ccad513e82ff87fd381b03a8f46c97aca4e7eb0eca41a1", hex.EncodeToString(made.Sum[:]))
}

func TestRequestsOfTooManyUnknownFieldsAreNotCompared(t *testing.T) {
	t.Parallel()
	for _, number := range []protowire.Number{99, 100} {
		unknown := bytes.Repeat(protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), 1), maxUnknown/2+1)
		order := &testpb.Order{Items: []*testpb.Item{{}, {}}}
		order.GetItems()[0].ProtoReflect().SetUnknown(unknown)
		_, err := ordersFingerprinter(t).of(order.ProtoReflect(), nil)
		require.NoError(t, err)
		order.GetItems()[1].ProtoReflect().SetUnknown(unknown)
		_, err = ordersFingerprinter(t).of(order.ProtoReflect(), nil)
		require.ErrorIs(t, err, errTooManyUnknown)
	}
}

// The key's message counts as absent once nothing is left of it but the key.
func TestAMessageOfExcludedFieldsOnlyCountsAsAbsent(t *testing.T) {
	t.Parallel()
	f := ordersFingerprinter(t, "meta.id", "items.trace")
	absent := fingerprintOf(t, f, &testpb.Order{Amount: 1})
	assert.Equal(t, absent, fingerprintOf(t, f, &testpb.Order{Amount: 1, Meta: &testpb.Meta{Id: "k"}}))
	assert.Equal(t, absent, fingerprintOf(t, f, &testpb.Order{Amount: 1, Meta: &testpb.Meta{}}))
	assert.NotEqual(t, absent, fingerprintOf(t, f, &testpb.Order{Amount: 1, Meta: &testpb.Meta{Merchant: "m"}}))
	assert.NotEqual(t, absent, fingerprintOf(t, f, &testpb.Order{Amount: 1, Items: []*testpb.Item{{Trace: "t"}}}), "a list has its length")
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
		assert.Equal(t, mayHoldMap(wire, maxDepth), mayHoldMap(shuffled, maxDepth))
	})
}

// What a hostile request may cost: two bytes for each unknown field, and messages
// within messages.
func BenchmarkHostileRequest(b *testing.B) {
	f := fingerprinter{algorithm: plainFingerprint}
	deep := []byte{0x08, 0x01}
	for len(deep) < 1<<20 {
		deep = protowire.AppendBytes(protowire.AppendTag(nil, 99, protowire.BytesType), deep)
		deep = append(deep, 0x08, 0x01)
	}
	for name, unknown := range map[string][]byte{
		"flat": bytes.Repeat([]byte{0xf8, 0x06, 0x01}, maxUnknown), "too many": bytes.Repeat([]byte{0xf8, 0x06, 0x01}, 4<<20/3),
		"deep": deep[:1<<20],
	} {
		order := &testpb.Order{}
		order.ProtoReflect().SetUnknown(unknown)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = f.of(order.ProtoReflect(), nil)
			}
		})
	}
}

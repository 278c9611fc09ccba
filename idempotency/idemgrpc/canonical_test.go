package idemgrpc

import (
	"bytes"
	"encoding/hex"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/testpb"
)

func formOf(m protoreflect.Message, without *exclusion) []byte {
	made, err := canonical(m, without)
	if err != nil {
		return nil
	}
	return made.bytes
}

func everyKind() *testpb.Order {
	note := ""
	return &testpb.Order{
		Amount: -5, Currency: "EUR", Counts: map[string]int32{"b": 2, "a": 1, "": 0},
		ItemsByShelf: map[int32]*testpb.Item{-1: {Name: "x"}, 7: {}, 8: {Count: 1}},
		Extra:        &anypb.Any{TypeUrl: "type.googleapis.com/none.such", Value: []byte{1, 2, 3}},
		Weight:       math.NaN(), Height: float32(math.NaN()), Note: &note,
		Items: []*testpb.Item{{Name: "n", Inner: &testpb.Item{Count: 2}}, {}}, Deltas: []int32{-1, 0, 1},
		Payment: &testpb.Order_Token{Token: []byte{0, 1}}, Size: testpb.Size_SIZE_SMALL, Gift: true,
		Serial: 1 << 63, Shelf: -1, Tags: []string{"t", ""}, Flags: map[bool]string{true: "y", false: "n"},
		Samples: []float64{math.Inf(1), math.NaN(), math.Copysign(0, -1)}, Meta: &testpb.Meta{},
	}
}

// The bytes are those that records in use were made by: a change needs a new
// name of the algorithm.
func TestG20_TheCanonicalFormNeverChanges(t *testing.T) {
	t.Parallel()
	assert.Equal(t,
		"10fbffffffffffffffff011a0345555222040a00100022050a0161100122050a016210022a1008ffffffffffffffffff0112"+
			"030a01782a04080712002a0608081202100132240a1d747970652e676f6f676c65617069732e636f6d2f6e6f6e652e737563"+
			"68120301020339000000000000f87f450000c07f4a0052070a016e2202100252005a03010002620072020001780180010189"+
			"0100000000000000809501ffffffff9a0101749a0100a20105080012016ea201050801120179aa0118000000000000f07f00"+
			"0000000000f87f0000000000000080",
		hex.EncodeToString(formOf(everyKind().ProtoReflect(), nil)))
	method := testpb.File_orders_proto.Services().ByName("Orders").Methods().ByName("Create")
	f, err := newFingerprinter(method, idempotency.DefaultPolicy(), nil)
	require.NoError(t, err)
	sum, err := f.of(everyKind().ProtoReflect(), nil)
	require.NoError(t, err)
	assert.Equal(t, "grpc/1", sum.Algorithm)
	assert.Equal(t, "d41418903868fd5bfab08d4fb36927dfbc5a1cc3bf7ab9d520eb543a6fc5dd10", hex.EncodeToString(sum.Sum[:]))
	f, err = newFingerprinter(method, idempotency.DefaultPolicy(), []string{"request_id", "items.trace"})
	require.NoError(t, err)
	assert.Equal(t, "g17e04bc", f.algorithm)
}

func TestG20_TheCanonicalFormIsTheMessage(t *testing.T) {
	t.Parallel()
	order := everyKind()
	var back testpb.Order
	require.NoError(t, proto.Unmarshal(formOf(order.ProtoReflect(), nil), &back))
	assert.True(t, proto.Equal(order, &back), "it is the wire format")
	assert.Empty(t, formOf((&testpb.Order{}).ProtoReflect(), nil))
}

func TestG20_EveryNaNIsTheSame(t *testing.T) {
	t.Parallel()
	a := &testpb.Order{Weight: math.NaN(), Height: math.Float32frombits(0x7fc00000)}
	b := &testpb.Order{Weight: math.Float64frombits(0xfff8000000000123), Height: math.Float32frombits(0xffc00001)}
	assert.Equal(t, formOf(a.ProtoReflect(), nil), formOf(b.ProtoReflect(), nil))
	zero := &testpb.Order{Weight: math.Copysign(0, -1)}
	assert.NotEmpty(t, formOf(zero.ProtoReflect(), nil), "the zeros are two values")
}

func TestG20_AFieldOneServerDoesNotKnowYet(t *testing.T) {
	t.Parallel()
	order := everyKind()
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(order)
	require.NoError(t, err)
	empty := dynamicWithout(t, "Order", everyField)
	old := empty.New().Interface()
	require.NoError(t, proto.Unmarshal(wire, old))
	require.NotEmpty(t, old.ProtoReflect().GetUnknown())
	order.Weight, order.Height, order.Samples = 0, 0, nil // a NaN is as it came, there
	order.Counts, order.ItemsByShelf, order.Flags = nil, nil, nil
	order.Items, order.Tags = order.GetItems()[:1], order.GetTags()[:1] // two might be a map
	wire, err = proto.MarshalOptions{Deterministic: true}.Marshal(order)
	require.NoError(t, err)
	require.NoError(t, proto.Unmarshal(wire, old))
	assert.Equal(t, formOf(order.ProtoReflect(), nil), formOf(old.ProtoReflect(), nil))
}

func TestUnknownFieldsCount(t *testing.T) {
	t.Parallel()
	with := func(number protoreflect.FieldNumber, values ...string) []byte {
		m := &testpb.Item{Name: "n"}
		var raw []byte
		for _, v := range values {
			raw = protowire.AppendString(protowire.AppendTag(raw, number, protowire.BytesType), v)
		}
		m.ProtoReflect().SetUnknown(raw)
		return formOf(m.ProtoReflect(), nil)
	}
	forms := [][]byte{with(99), with(99, "a"), with(99, "b"), with(98, "a"), with(99, "a", "b"), with(99, "a", "c")}
	for i, a := range forms {
		for _, b := range forms[:i] {
			assert.NotEqual(t, a, b)
		}
	}
	broken := &testpb.Item{}
	broken.ProtoReflect().SetUnknown([]byte{0xff})
	assert.Equal(t, []byte{0xff}, formOf(broken.ProtoReflect(), nil))
}

func TestExcludedFieldsDoNotCount(t *testing.T) {
	t.Parallel()
	md := (&testpb.Order{}).ProtoReflect().Descriptor()
	tests := []struct {
		name    string
		path    string
		a, b    *testpb.Order
		differs bool
	}{
		{"a scalar", "request_id", &testpb.Order{RequestId: "1"}, &testpb.Order{RequestId: "2"}, false},
		{"another one", "currency", &testpb.Order{RequestId: "1"}, &testpb.Order{RequestId: "2"}, true},
		{"below a message", "meta.id", &testpb.Order{Meta: &testpb.Meta{Id: "1"}}, &testpb.Order{Meta: &testpb.Meta{Id: "2"}}, false},
		{"a message of nothing else", "meta.id", &testpb.Order{Meta: &testpb.Meta{Id: "1"}}, &testpb.Order{}, false},
		{"beside it", "meta.id", &testpb.Order{Meta: &testpb.Meta{Merchant: "1"}}, &testpb.Order{Meta: &testpb.Meta{Merchant: "2"}}, true},
		{"a whole message", "meta", &testpb.Order{Meta: &testpb.Meta{Merchant: "1"}}, &testpb.Order{}, false},
		{"below a repeated one", "items.trace", &testpb.Order{Items: []*testpb.Item{{Trace: "1"}}}, &testpb.Order{Items: []*testpb.Item{{Trace: "2"}}}, false},
		{"its elements", "items.trace", &testpb.Order{Items: []*testpb.Item{{}}}, &testpb.Order{Items: []*testpb.Item{{}, {}}}, true},
		{"not deeper", "items.trace", &testpb.Order{Items: []*testpb.Item{{Inner: &testpb.Item{Trace: "1"}}}}, &testpb.Order{Items: []*testpb.Item{{Inner: &testpb.Item{}}}}, true},
		{"below a map's values", "items_by_shelf.trace", &testpb.Order{ItemsByShelf: map[int32]*testpb.Item{1: {Trace: "1"}}}, &testpb.Order{ItemsByShelf: map[int32]*testpb.Item{1: {}}}, false},
		{"a map's keys", "items_by_shelf.trace", &testpb.Order{ItemsByShelf: map[int32]*testpb.Item{1: {}}}, &testpb.Order{ItemsByShelf: map[int32]*testpb.Item{2: {}}}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path, err := findPath(md, test.path)
			require.NoError(t, err)
			var without exclusion
			without.add(path)
			same := bytes.Equal(formOf(test.a.ProtoReflect(), &without), formOf(test.b.ProtoReflect(), &without))
			assert.Equal(t, test.differs, !same)
			assert.NotEqual(t, formOf(test.a.ProtoReflect(), nil), formOf(test.b.ProtoReflect(), nil))
		})
	}
}

// Any message is its canonical form, and that is its own.
func FuzzCanonical(f *testing.F) {
	wire, err := proto.Marshal(everyKind())
	require.NoError(f, err)
	f.Add(wire)
	f.Add([]byte{0x12, 1, 'x', 0xfa, 0x3f, 0})
	f.Fuzz(func(t *testing.T, wire []byte) {
		var order, back testpb.Order
		if proto.Unmarshal(wire, &order) != nil {
			return
		}
		form := formOf(order.ProtoReflect(), nil)
		require.NoError(t, proto.Unmarshal(form, &back))
		assert.Equal(t, form, formOf(back.ProtoReflect(), nil))
		wire, err := proto.Marshal(&order)
		require.NoError(t, err)
		require.NoError(t, proto.Unmarshal(wire, &back))
		assert.Equal(t, form, formOf(back.ProtoReflect(), nil), "in whatever order the library writes it")
	})
}

func TestCanonicalFormOfDeepNestingIsNotQuadratic(t *testing.T) {
	t.Parallel()
	item := &testpb.Item{Name: string(make([]byte, 1<<20))}
	for range 5000 {
		item = &testpb.Item{Inner: item}
	}
	assert.Len(t, formOf(item.ProtoReflect(), nil), proto.Size(item))
}

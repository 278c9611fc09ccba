package framing_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/framing"
)

func TestP8_TheBytesNeverChange(t *testing.T) {
	t.Parallel()
	b := framing.AppendNumber(nil, 0)
	b = framing.AppendNumber(b, 127)
	b = framing.AppendNumber(b, 128)
	b = framing.Append(b, "")
	b = framing.Append(b, []byte{0, 0xff})
	assert.Equal(t, []byte{0, 127, 0x80, 1, 0, 2, 0, 0xff}, b)
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	t.Parallel()
	for _, length := range []int{0, 1, 127, 128, 300, 1 << 14} {
		text := strings.Repeat("x", length)
		b := framing.Append(nil, text)
		assert.Len(t, b, framing.Size(length))
		r := framing.NewReader(framing.AppendNumber(b, length))
		assert.Equal(t, text, string(r.Bytes()))
		assert.True(t, r.More())
		assert.Equal(t, length, r.Number(length))
		assert.False(t, r.More())
		require.NoError(t, r.End())
	}
}

func TestPairsComeInOrder(t *testing.T) {
	t.Parallel()
	b := framing.AppendNumber(nil, 2)
	for _, s := range []string{"a", "1", "b", ""} {
		b = framing.Append(b, s)
	}
	var got []string
	r := framing.NewReader(b)
	r.Pairs(2, func(name, value string) { got = append(got, name+"="+value) })
	require.NoError(t, r.End())
	assert.Equal(t, []string{"a=1", "b="}, got)
}

func TestS12_WhatWasNotWrittenIsRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   []byte
		read func(*framing.Reader)
	}{
		{"nothing", nil, func(r *framing.Reader) { r.Number(9) }},
		{"a number above the bound", []byte{10}, func(r *framing.Reader) { r.Number(9) }},
		{"a number that is cut", []byte{0x80}, func(r *framing.Reader) { r.Number(999) }},
		{"a number of more than 64 bits", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}, func(r *framing.Reader) { r.Number(1 << 62) }},
		{"a number that is longer than need be", []byte{0x81, 0}, func(r *framing.Reader) { r.Number(999) }},
		{"a length beyond the end", []byte{2, 'x'}, func(r *framing.Reader) { r.Bytes() }},
		{"a length that counts itself", []byte{1}, func(r *framing.Reader) { r.Bytes() }},
		{"too many pairs", []byte{2, 0, 0, 0, 0}, func(r *framing.Reader) { r.Pairs(1, func(string, string) {}) }},
		{"a pair without a value", []byte{1, 0}, func(r *framing.Reader) { r.Pairs(1, func(string, string) {}) }},
		{"bytes after the end", []byte{1, 1}, func(r *framing.Reader) { r.Number(9) }},
		{"reading on after a failure", []byte{200}, func(r *framing.Reader) { r.Number(9); r.Bytes() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := framing.NewReader(tt.in)
			tt.read(r)
			require.Error(t, r.End())
		})
	}
}

// There is one spelling of everything: what is read gives the same bytes when it
// is written again.
func FuzzReader(f *testing.F) {
	f.Add([]byte{2, 1, 'a', 0, 1, 'b', 1, 'c', 0x80, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := framing.NewReader(in)
		var pairs []string
		r.Pairs(1000, func(name, value string) { pairs = append(pairs, name, value) })
		number, last := r.Number(1<<40), r.Bytes()
		if r.End() != nil {
			return
		}
		again := framing.AppendNumber(nil, len(pairs)/2)
		for _, s := range pairs {
			again = framing.Append(again, s)
		}
		again = framing.Append(framing.AppendNumber(again, number), last)
		require.Equal(t, in, again)
		require.Len(t, framing.Append(nil, last), framing.Size(len(last)))
	})
}

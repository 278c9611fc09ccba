package idemhttp_test

import (
	"encoding/json"
	"math/big"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Request types with something in them that looks unreadable, and is not.
type (
	readsOwn   struct{ done chan int }
	readsText  struct{ chosen func() }
	chained    struct{ Next *chained }
	readsUsual struct {
		At     time.Time
		For    *time.Duration
		Raw    json.RawMessage
		Any    any
		Sum    big.Int
		Addr   map[netip.Addr][]netip.Prefix
		ByDay  map[int]map[uint8]string
		Empty  struct{}
		Void   *emptypb.Empty
		Chain  []chained
		Own    []readsOwn
		Text   map[string]*readsText
		Number json.Number
	}
	readsDeclared struct {
		readsAlone
		Amount int
	}
	readsValue struct {
		readsAlone
		into *int
	}
	readsGeneric[T any] struct {
		readsAlone
		Of T
	}
	readsOne  struct{ readsAlone }
	readsLess struct {
		sync.Mutex
		Done   chan int    `json:"-"`
		Server http.Server `json:"-"`
		notify func()
		Amount int
	}
)

func (*readsOwn) UnmarshalJSON([]byte) error        { return nil }
func (*readsDeclared) UnmarshalJSON([]byte) error   { return nil }
func (readsValue) UnmarshalJSON([]byte) error       { return nil }
func (*readsGeneric[T]) UnmarshalJSON([]byte) error { return nil }
func (*readsText) UnmarshalText([]byte) error       { return nil }

func TestJSON_WhatJSONReadsIsAccepted(t *testing.T) {
	t.Parallel()
	_ = []any{readsOwn{done: nil}, readsText{chosen: nil}, &readsLess{notify: nil}, readsValue{into: nil}}
	tests := []struct {
		name    string
		handler http.Handler
	}{
		{"nothing", typed[struct{}]()},
		{"usual types", typed[readsUsual]()},
		{"what JSON leaves out", typed[*readsLess]()},
		{"a type that contains itself", typed[chained]()},
		{"a type that reads itself", typed[readsOwn]()},
		{"a type that reads itself and what it embeds", typed[readsDeclared]()},
		{"a type that reads itself by value", typed[struct{ V readsValue }]()},
		{"a type of types that reads itself", typed[readsGeneric[int]]()},
		{"a struct of one that reads itself", typed[readsOne]()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			mw := newMiddleware(t)
			require.NoError(t, mw.Handle(http.NewServeMux(), "POST /a", tt.handler))
			_, err := mw.Wrap("a", tt.handler)
			require.NoError(t, err)
			require.NoError(t, newMiddleware(t).Mount(http.NewServeMux(), struct {
				Create http.Handler `route:"POST /a" idempotency:"required"`
			}{tt.handler}))
		})
	}
}

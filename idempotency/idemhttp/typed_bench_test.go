package idemhttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store/memstore"
)

type benchOrder struct {
	Shop   string `path:"shop" json:"-"`
	DryRun bool   `query:"dry_run" json:"-"`
	Amount int64  `json:"amount"`
	Item   string `json:"item"`
}

type benchAnswer struct {
	Shop   string `json:"shop"`
	Amount int64  `json:"amount"`
}

func benchCreate(_ context.Context, o benchOrder) (benchAnswer, error) {
	return benchAnswer{o.Shop, o.Amount}, nil
}

// byHand is what a user would write without JSON: the same work, with nothing that
// JSON checks beside it.
func byHand(w http.ResponseWriter, r *http.Request) {
	o := benchOrder{Shop: r.PathValue("shop")}
	if text := r.URL.Query().Get("dry_run"); text != "" {
		o.DryRun, _ = strconv.ParseBool(text)
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, _ := benchCreate(r.Context(), o)
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// BenchmarkJSON compares a typed handler with the same by hand, first runs and replays.
// By hand, a retry is compared as canonical JSON as well.
func BenchmarkJSON(b *testing.B) {
	ways := []struct {
		name    string
		handler http.Handler
	}{
		{"typed", idemhttp.JSON(benchCreate)},
		{"by hand", http.HandlerFunc(byHand)},
	}
	for _, way := range ways {
		for _, replays := range []bool{false, true} {
			name := way.name + "/first runs"
			if replays {
				name = way.name + "/replays"
			}
			b.Run(name, func(b *testing.B) {
				mux := benchMux(b, way.handler)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					key := "k"
					if !replays {
						key = strconv.Itoa(i)
					}
					w := serveBench(mux, key, `{"amount":1999,"item":"book"}`)
					if w.Code != http.StatusOK {
						b.Fatal(w.Body)
					}
				}
			})
		}
	}
}

func benchMux(tb testing.TB, handler http.Handler) http.Handler {
	tb.Helper()
	records, err := memstore.New()
	require.NoError(tb, err)
	guard, err := idempotency.New(records)
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, guard.Shutdown(context.Background())) })
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	require.NoError(tb, err)
	policy := idempotency.Policy{}
	if _, plain := handler.(http.HandlerFunc); plain {
		policy.Fingerprint = idempotency.FingerprintJSON
	}
	mux := http.NewServeMux()
	require.NoError(tb, mw.Handle(mux, "POST /shops/{shop}/orders", handler, policy))
	return mux
}

func serveBench(handler http.Handler, key, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/shops/acme/orders?dry_run=true", bytes.NewReader([]byte(body)))
	r.Header.Set("Idempotency-Key", key)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// narrow and wide are one request to JSON: what a request does not set costs nothing.
type (
	narrow struct {
		RequestID string `json:"request_id" idempotency:"key"`
		Amount    int64  `json:"amount"`
	}
	wide struct {
		RequestID string `json:"request_id" idempotency:"key"`
		Amount    int64  `json:"amount"`

		A0, A1, A2, A3, A4, A5, A6, A7, A8, A9 string `idempotency:"-"`
		B0, B1, B2, B3, B4, B5, B6, B7, B8, B9 *wideInner
		C0, C1, C2, C3, C4, C5, C6, C7, C8, C9 []wideInner
	}
	wideInner struct {
		D0, D1, D2, D3, D4, D5, D6, D7, D8, D9 string
	}
)

// A type is looked at when its handler is made, and never again: a request to a struct
// of many fields allocates as much as one to a struct of two, and not much more than
// by hand. A walk over the fields would allocate for each.
//
//nolint:paralleltest // allocations are counted over the whole process
func TestJSON_TypesAreLookedAtAtConstructionOnly(t *testing.T) {
	const body = `{"request_id":"k","amount":5}`
	allocations := func(handler http.Handler) float64 {
		mux := benchMux(t, handler)
		require.Equal(t, http.StatusOK, serveBench(mux, "k", body).Code)
		return testing.AllocsPerRun(200, func() { serveBench(mux, "k", body) })
	}
	few, many := allocations(typed[narrow]()), allocations(typed[wide]())
	assert.InDelta(t, few, many, 6, "the exclusion of ten members is one selection, made once")
	require.Greater(t, reflect.TypeFor[wide]().NumField(), 5*reflect.TypeFor[narrow]().NumField())

	hand := allocations(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in narrow
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&in))
		body, err := json.Marshal(in)
		assert.NoError(t, err)
		_, _ = w.Write(body)
	}))
	assert.Less(t, few, hand+40, "typed %v, by hand %v", few, hand)
}

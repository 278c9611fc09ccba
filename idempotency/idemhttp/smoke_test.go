package idemhttp_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/alicebob/miniredis/v2"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store/redisstore"
)

func TestSmoke(t *testing.T) {
	m := miniredis.RunT(t)
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr(), ContextTimeoutEnabled: true})
	defer rdb.Close()
	st, err := redisstore.New(rdb)
	require.NoError(t, err)
	g, err := idempotency.New(st)
	require.NoError(t, err)
	mw, err := idemhttp.New(g, idemhttp.GlobalScope())
	require.NoError(t, err)
	mux := http.NewServeMux()
	var runs atomic.Int64
	require.NoError(t, mw.Handle(mux, "POST /v1/payments", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, ok := idempotency.FromContext(r.Context())
		fmt.Println(info, ok, idempotency.MarkEffect(r.Context()))
		w.Header().Set("Location", "/x")
		w.WriteHeader(201)
		fmt.Fprintf(w, `{"n":%d}`, runs.Add(1))
	})))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for _, body := range []string{"a", "a", "b"} {
		req, _ := http.NewRequest("POST", srv.URL+"/v1/payments", strings.NewReader(body))
		req.Header.Set("Idempotency-Key", "k1")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		b, _ := io.ReadAll(resp.Body)
		fmt.Println(resp.StatusCode, resp.Header, string(b))
	}
	fmt.Println(m.Keys())
}

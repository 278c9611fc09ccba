package idemhttp_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

const keptConnections = 5

// newReaper is a server that has five connections kept open by the client, and
// dies under each POST after it has read it.
func newReaper(t *testing.T, base *http.Transport) (string, *atomic.Int64) {
	t.Helper()
	var posts atomic.Int64
	var together sync.WaitGroup
	together.Add(keptConnections)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodGet {
			together.Done()
			together.Wait() // no two on one connection
			return
		}
		posts.Add(1)
		hangUp(w, r)
	}))
	t.Cleanup(server.Close)
	var group sync.WaitGroup
	for range keptConnections {
		req := clientRequest(t, http.MethodGet, server.URL, "")
		group.Go(func() {
			resp, err := base.RoundTrip(req)
			if assert.NoError(t, err) {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	}
	group.Wait()
	return server.URL, &posts
}

// By itself net/http sends a request with an Idempotency-Key entry again on each
// kept connection that dies: six times here.
func TestTransportAloneSendsARequestAgain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		tries  int
		body   string
		header http.Header
		change func(*http.Request)
	}{
		{name: "with a body, once", tries: 1, body: "pay"},
		{name: "with a body, three times", tries: 3, body: "pay"},
		{name: "without a body, once", tries: 1},
		{name: "without a body, three times", tries: 3},
		{name: "under a key of the caller", tries: 1, header: http.Header{"Idempotency-Key": {"mine"}}},
		{name: "in another field of the caller", tries: 1, header: http.Header{"X-Idempotency-Key": {"mine"}}},
		{name: "with an entry without values", tries: 1, header: http.Header{"X-Idempotency-Key": nil}},
		{name: "with a body that is read into memory", tries: 2, body: "pay", change: func(req *http.Request) { req.GetBody = nil }},
		{name: "with a body that turns out empty", tries: 2, change: func(req *http.Request) {
			req.Body, req.GetBody = io.NopCloser(strings.NewReader("")), nil
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			base := &http.Transport{MaxIdleConnsPerHost: keptConnections}
			defer base.CloseIdleConnections()
			url, posts := newReaper(t, base)
			told := 0
			transport := newTransport(t, base, quick(), idemhttp.MaxAttempts(tt.tries),
				idemhttp.OnRetry(func(context.Context, idemhttp.Retry) { told++ }))
			req := clientRequest(t, http.MethodPost, url, tt.body)
			if tt.header != nil {
				req.Header = tt.header
			}
			if tt.change != nil {
				tt.change(req)
			}
			_, err := transport.RoundTrip(req)
			require.Error(t, err)
			assert.EqualValues(t, tt.tries, posts.Load())
			assert.Equal(t, tt.tries-1, told)
		})
	}
}

// arrival is a request as a server has it.
type arrival struct {
	proto int
	keys  []string
	other []string // X-Idempotency-Key
	body  string
	path  string
}

func newArrivals(t *testing.T, http2 bool, redirect int) (*httptest.Server, func() []arrival) {
	t.Helper()
	var mu sync.Mutex
	var seen []arrival
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		seen = append(seen, arrival{
			r.ProtoMajor, r.Header.Values("Idempotency-Key"), r.Header.Values("X-Idempotency-Key"), string(body), r.URL.Path,
		})
		mu.Unlock()
		if r.URL.Path == "/old" {
			http.Redirect(w, r, "/new", redirect)
		}
	}))
	server.EnableHTTP2 = http2
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, func() []arrival {
		mu.Lock()
		defer mu.Unlock()
		return append([]arrival(nil), seen...)
	}
}

func TestTransportKeyArrivesOverEachProtocol(t *testing.T) {
	t.Parallel()
	for _, proto := range []int{1, 2} {
		for _, body := range []string{"", "body"} {
			for _, own := range []string{"", "mine"} {
				t.Run("HTTP/"+strconv.Itoa(proto)+" body "+body+" key "+own, func(t *testing.T) {
					t.Parallel()
					server, arrivals := newArrivals(t, proto == 2, 0)
					req := clientRequest(t, http.MethodPost, server.URL, body)
					req.Header["X-Idempotency-Key"] = []string{"", "other"}
					if own != "" {
						req.Header.Set("Idempotency-Key", own)
					}
					before := req.Header.Clone()
					resp, err := newTransport(t, server.Client().Transport).RoundTrip(req)
					require.NoError(t, err)
					assert.Empty(t, readAll(t, resp))
					seen := arrivals()
					require.Len(t, seen, 1)
					require.Len(t, seen[0].keys, 1, "one field line")
					if own != "" {
						assert.Equal(t, own, seen[0].keys[0])
					}
					assert.Equal(t, proto, seen[0].proto)
					assert.Equal(t, body, seen[0].body)
					assert.Equal(t, []string{"", "other"}, seen[0].other, "the caller's, as they are")
					assert.Equal(t, before, req.Header)
					assert.Equal(t, seen[0].keys, resp.Request.Header["Idempotency-Key"], "the answer tells the key")
					assert.Equal(t, req.GetBody == nil, resp.Request.GetBody == nil)
				})
			}
		}
	}
}

func TestTransportRedirectRepeatsKeyAndBody(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		for _, proto := range []int{1, 2} {
			for _, body := range []string{"", "body"} {
				for _, own := range []string{"", "mine"} {
					t.Run(strconv.Itoa(status)+" HTTP/"+strconv.Itoa(proto)+" body "+body+" key "+own, func(t *testing.T) {
						t.Parallel()
						server, arrivals := newArrivals(t, proto == 2, status)
						req := clientRequest(t, http.MethodPost, server.URL+"/old", body)
						if own != "" {
							req.Header["idempotency-KEY"] = []string{own}
						}
						client := &http.Client{Transport: newTransport(t, server.Client().Transport)}
						resp, err := client.Do(req)
						require.NoError(t, err)
						assert.Empty(t, readAll(t, resp))
						seen := arrivals()
						require.Len(t, seen, 2)
						require.Len(t, seen[0].keys, 1)
						if own != "" {
							assert.Equal(t, own, seen[0].keys[0])
						}
						assert.Equal(t, arrival{proto: proto, keys: seen[0].keys, body: body, path: "/new"}, seen[1])
					})
				}
			}
		}
	}
}

// Nobody but http.Transport fills in the request of an answer.
func TestTransportRedirectKeepsTheKeyOverABaseThatTellsNoRequest(t *testing.T) {
	t.Parallel()
	base := &upstream{answers: []func(*http.Request) (*http.Response, error){
		func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 307, Header: http.Header{"Location": {"/new"}}, Body: http.NoBody}, nil
		},
		created,
	}}
	resp, err := (&http.Client{Transport: newTransport(t, base)}).Do(clientRequest(t, http.MethodPost, "http://service/old", ""))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	keys := base.keys("Idempotency-Key")
	require.Len(t, keys, 2)
	assert.Equal(t, keys[0], keys[1])
}

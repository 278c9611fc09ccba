package clients_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

const order = "EUR 19.99"

// sender sends the order to a service, by its own means of retrying.
type sender func(t *testing.T, url string) (*http.Response, error)

func senders() map[string]sender {
	return map[string]sender{
		"net/http over our Transport":                      overTransport,
		"go-retryablehttp with SetKey":                     retryableWithKey,
		"go-retryablehttp with SetKey, over our Transport": retryableOverTransport,
		"go-retryablehttp with WithKey":                    retryableWithContext,
		"go-retryablehttp under our Transport":             transportOverRetryable,
		"a loop by hand":                                   byHand,
	}
}

func TestEveryClientEndsWithOneExecutionUnderOneKey(t *testing.T) {
	t.Parallel()
	faults := []struct {
		name           string
		losses, outage int
		tries          int
		mark           string
	}{
		{"no fault", 0, 0, 1, "executed"},
		{"two lost answers", 2, 0, 3, "replayed"},
		{"two outages", 0, 2, 3, "executed"},
		{"a lost outage, then another", 1, 2, 3, "executed"},
	}
	for name, send := range senders() {
		for _, fault := range faults {
			t.Run(name+"/"+fault.name, func(t *testing.T) {
				t.Parallel()
				s, stop := newService(fault.losses, fault.outage)
				defer stop()
				resp, err := send(t, s.URL+"/payments")
				require.NoError(t, err)
				defer func() { _ = resp.Body.Close() }()
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, http.StatusCreated, resp.StatusCode)
				assert.Equal(t, "payment 1", string(body))
				assert.Equal(t, fault.mark, resp.Header.Get("Idempotency-Status"))
				keys, runs := s.told()
				assert.Equal(t, 1, runs, "one execution")
				require.Len(t, keys, fault.tries)
				for _, key := range keys {
					assert.NotEmpty(t, key)
					assert.Equal(t, keys[0], key, "one key")
				}
			})
		}
	}
}

// Without SetKey or WithKey an outer loop's passes are requests of their own,
// which is what the two are for.
func TestOuterLoopWithoutAKeyRunsTwice(t *testing.T) {
	t.Parallel()
	s, stop := newService(1, 0)
	defer stop()
	client := retryable(transport(t, nil, idemhttp.MaxAttempts(1)))
	resp, err := client.Do(retryableRequest(t, t.Context(), s.URL+"/payments"))
	require.NoError(t, err)
	_ = resp.Body.Close()
	keys, runs := s.told()
	assert.Equal(t, 2, runs)
	require.Len(t, keys, 2)
	assert.NotEqual(t, keys[0], keys[1])
}

func overTransport(t *testing.T, url string) (*http.Response, error) {
	client := &http.Client{Transport: transport(t, nil)}
	return client.Post(url, "text/plain", strings.NewReader(order))
}

func retryableWithKey(t *testing.T, url string) (*http.Response, error) {
	req := retryableRequest(t, t.Context(), url)
	idemhttp.SetKey(req.Request)
	return retryable(base(t)).Do(req)
}

func retryableOverTransport(t *testing.T, url string) (*http.Response, error) {
	req := retryableRequest(t, t.Context(), url)
	idemhttp.SetKey(req.Request)
	return retryable(transport(t, nil, idemhttp.MaxAttempts(1))).Do(req)
}

func retryableWithContext(t *testing.T, url string) (*http.Response, error) {
	req := retryableRequest(t, idemhttp.WithKey(t.Context(), ""), url)
	return retryable(transport(t, nil, idemhttp.MaxAttempts(1))).Do(req)
}

// The other way round the Transport draws the key, and the client inside does
// the retries.
func transportOverRetryable(t *testing.T, url string) (*http.Response, error) {
	inner := &retryablehttp.RoundTripper{Client: retryable(base(t))}
	client := &http.Client{Transport: transport(t, inner, idemhttp.MaxAttempts(1))}
	return client.Post(url, "text/plain", strings.NewReader(order))
}

func byHand(t *testing.T, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(order))
	require.NoError(t, err)
	idemhttp.SetKey(req)
	client := &http.Client{Transport: base(t)}
	for n := 1; ; n++ {
		req.Body, err = req.GetBody()
		require.NoError(t, err)
		resp, err := client.Do(req)
		if err == nil && idemhttp.CheckResponse(resp) == nil || n == 4 {
			return resp, err
		}
		if err == nil {
			_ = resp.Body.Close()
		}
	}
}

func base(t *testing.T) *http.Transport {
	t.Helper()
	b := &http.Transport{}
	t.Cleanup(b.CloseIdleConnections)
	return b
}

func transport(t *testing.T, around http.RoundTripper, opts ...idemhttp.TransportOption) *idemhttp.Transport {
	t.Helper()
	if around == nil {
		around = base(t)
	}
	opts = append(opts, idemhttp.Backoff(time.Millisecond, 10*time.Millisecond))
	tr, err := idemhttp.NewTransport(around, opts...)
	require.NoError(t, err)
	return tr
}

func retryable(around http.RoundTripper) *retryablehttp.Client {
	client := retryablehttp.NewClient()
	client.HTTPClient = &http.Client{Transport: around}
	client.Logger = nil
	client.RetryWaitMin, client.RetryWaitMax = time.Millisecond, 10*time.Millisecond
	client.CheckRetry = checkRetry
	return client
}

func retryableRequest(t *testing.T, ctx context.Context, url string) *retryablehttp.Request {
	t.Helper()
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(order))
	require.NoError(t, err)
	return req
}

package clients_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85"
)

// patience is how long clients wait for one answer. A machine that is too slow
// for it costs a client a retry more.
const patience = 3 * time.Second

// outcome is what a client was left with.
type outcome struct {
	status       int
	mark, charge string
}

// These clients send a POST again because they got no answer, by themselves and
// without knowing whether it was executed. They know nothing of the service but
// that it takes their Idempotency-Key.
func TestClientsThatSendAgainByThemselvesEndWithOneExecution(t *testing.T) {
	t.Parallel()
	anything := map[string]loss{
		"cut while it runs":    cutWhileItRuns,
		"cut when recorded":    cutWhenRecorded,
		"no answer in time":    neverSent,
		"503 before an effect": outage,
	}
	cuts := map[string]loss{"cut while it runs": cutWhileItRuns, "cut when recorded": cutWhenRecorded}
	clients := []struct {
		name   string
		losses map[string]loss // after which it sends again
		charge func(t *testing.T, f *fleet) outcome
	}{
		{"stripe-go", anything, byStripe},
		{"hashicorp retryablehttp", anything, byRetryableHTTP},
		{"net/http by itself", cuts, byNetHTTP},
	}
	for _, client := range clients {
		for what, of := range client.losses {
			t.Run(client.name+"/"+what, func(t *testing.T) {
				t.Parallel()
				f := newFleet(t, of)
				f.finishWhenADuplicateWaits(t)
				got := client.charge(t, f)
				f.requireOneRun(t, got.status, got.mark, got.charge)
			})
		}
	}
}

// byStripe charges with Stripe's own client, which draws the key by itself.
func byStripe(t *testing.T, f *fleet) outcome {
	t.Helper()
	client := stripe.NewClient("sk_test_acme", stripe.WithBackends(stripe.NewBackendsWithConfig(&stripe.BackendConfig{
		URL:               new(f.URL),
		HTTPClient:        &http.Client{Transport: base(t), Timeout: patience},
		MaxNetworkRetries: stripe.Int64(4),
		EnableTelemetry:   new(bool),
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
	})))
	charge, err := client.V1Charges.Create(t.Context(), &stripe.ChargeCreateParams{
		Amount: stripe.Int64(1999), Currency: new("eur"),
	})
	require.NoError(t, err)
	assert.EqualValues(t, 1999, charge.Amount)
	return outcome{charge.LastResponse.StatusCode, charge.LastResponse.Header.Get("Idempotency-Status"), charge.ID}
}

// byRetryableHTTP has the client's own policy, which sends again after errors,
// timeouts, 429 and 5xx.
func byRetryableHTTP(t *testing.T, f *fleet) outcome {
	t.Helper()
	client := retryablehttp.NewClient()
	client.HTTPClient = &http.Client{Transport: base(t), Timeout: patience}
	client.Logger = nil
	client.RetryWaitMin, client.RetryWaitMax = time.Millisecond, 10*time.Millisecond
	req, err := retryablehttp.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+"/v1/charges", form())
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Idempotency-Key", "order-1")
	resp, err := client.Do(req)
	require.NoError(t, err)
	return read(t, resp)
}

// byNetHTTP has no retries but those of net/http: on a connection that it kept,
// it sends again what has a key and got no answer.
func byNetHTTP(t *testing.T, f *fleet) outcome {
	t.Helper()
	client := &http.Client{Transport: base(t)}
	resp, err := client.Get(f.URL + "/healthz")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+"/v1/charges", form())
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Idempotency-Key", "order-1")
	resp, err = client.Do(req)
	require.NoError(t, err)
	return read(t, resp)
}

func form() *strings.Reader { return strings.NewReader("amount=1999&currency=eur") }

func read(t *testing.T, resp *http.Response) outcome {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var charge struct {
		ID string `json:"id"`
	}
	require.NoError(t, json.Unmarshal(body, &charge), "%s", body)
	return outcome{resp.StatusCode, resp.Header.Get("Idempotency-Status"), charge.ID}
}

package clients_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// go-retryablehttp sends the same request again and again: with its key set
// before, all tries carry it.
func Example_retryablehttp() {
	service, stop := newService(1, 0)
	defer stop()

	client := retryablehttp.NewClient()
	client.Logger = nil // its log has URLs, not keys
	client.CheckRetry = checkRetry
	client.RetryWaitMin = 50 * time.Millisecond
	defer client.HTTPClient.CloseIdleConnections()

	req, err := retryablehttp.NewRequestWithContext(context.Background(), http.MethodPost, service.URL+"/payments",
		strings.NewReader("EUR 19.99"))
	if err != nil {
		panic(err)
	}
	storeBeforeTheFirstTry(idemhttp.SetKey(req.Request))
	resp, err := client.Do(req)
	if err != nil {
		panic(err)
	}
	defer func() { _ = resp.Body.Close() }()
	fmt.Println(resp.StatusCode, resp.Header.Get("Idempotency-Status"))
	// Output: 201 replayed
}

// checkRetry adds to go-retryablehttp's policy what a protected service says: a
// running duplicate (409) is worth a retry, a recorded 500 is not.
func checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if err == nil && ctx.Err() == nil && resp.Header.Get("Idempotency-Status") != "" {
		refused, ok := errors.AsType[*idemhttp.ResponseError](idemhttp.CheckResponse(resp))
		return ok && refused.Retryable, nil
	}
	return retryablehttp.DefaultRetryPolicy(ctx, resp, err)
}

func storeBeforeTheFirstTry(string) {}

package idemhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// The answer to the first try gets lost. The transport asks again under the same
// key and gets the recorded answer: one payment.
func ExampleNewTransport() {
	service := newShakyService(1)
	defer service.Close()

	transport, err := idemhttp.NewTransport(&http.Transport{ResponseHeaderTimeout: 10 * time.Second})
	if err != nil {
		panic(err)
	}
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	defer client.CloseIdleConnections()

	resp, err := client.Post(service.URL+"/payments", "text/plain", strings.NewReader("EUR 19.99"))
	if err != nil {
		panic(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, resp.Header.Get("Idempotency-Status"), string(body), err)
	// Output: 201 replayed payment 1 <nil>
}

// Retries are seen in a log, with the request's context.
func ExampleOnRetry() {
	service := newShakyService(1)
	defer service.Close()
	transport, err := idemhttp.NewTransport(nil,
		idemhttp.MaxAttempts(3),
		idemhttp.Backoff(10*time.Millisecond, time.Second),
		idemhttp.OnRetry(func(_ context.Context, r idemhttp.Retry) {
			fmt.Println("retry", r.Method, "attempt", r.Attempt, "status", r.Status, "failed", r.Err != nil)
		}))
	if err != nil {
		panic(err)
	}
	client := &http.Client{Transport: transport}
	resp, err := client.Post(service.URL+"/payments", "text/plain", strings.NewReader("EUR 19.99"))
	if err != nil {
		panic(err)
	}
	_ = resp.Body.Close()
	fmt.Println(resp.StatusCode)
	// Output:
	// retry POST attempt 1 status 0 failed true
	// 201
}

// A loop of one's own, without a Transport: the key is set before the loop, and
// the result of CheckResponse says whether to go on.
func ExampleSetKey() {
	service := newShakyService(2)
	defer service.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	const body = "EUR 19.99"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, service.URL+"/payments", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	key := idemhttp.SetKey(req)
	storeBeforeTheFirstTry(key, body)

	for pause := 10 * time.Millisecond; ; pause *= 2 {
		req.Body, _ = req.GetBody()
		resp, err := http.DefaultClient.Do(req)
		var refused *idemhttp.ResponseError
		if err == nil {
			err = idemhttp.CheckResponse(resp)
			if err == nil || errors.As(err, &refused) && !refused.Retryable {
				fmt.Println(resp.StatusCode, resp.Header.Get("Idempotency-Status"), err)
				_ = resp.Body.Close()
				return
			}
			_ = resp.Body.Close()
		}
		wait := pause
		if refused != nil {
			wait = max(pause, refused.RetryAfter)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return // the key is stored: another process goes on
		}
	}
	// Output: 201 replayed <nil>
}

// A queue worker takes the key from the job, so that a second delivery of the
// job, to another worker even, is a retry.
func ExampleWithKey() {
	service := newShakyService(0)
	defer service.Close()
	transport, err := idemhttp.NewTransport(nil)
	if err != nil {
		panic(err)
	}
	client := &http.Client{Transport: transport}

	deliver := func(jobID, body string) {
		ctx := idemhttp.WithKey(context.Background(), jobID)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, service.URL+"/payments", strings.NewReader(body))
		if err != nil {
			panic(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			panic(err)
		}
		defer func() { _ = resp.Body.Close() }()
		answer, _ := io.ReadAll(resp.Body)
		fmt.Println(resp.StatusCode, resp.Header.Get("Idempotency-Status"), string(answer))
	}
	deliver("job-4711", "EUR 19.99")
	deliver("job-4711", "EUR 19.99")
	// Output:
	// 201 executed payment 1
	// 201 replayed payment 1
}

// What to do with a response.
func ExampleCheckResponse() {
	handle := func(resp *http.Response) string {
		err := idemhttp.CheckResponse(resp)
		var refused *idemhttp.ResponseError
		if !errors.As(err, &refused) {
			return "the service's answer, final: read it"
		}
		switch refused.Outcome {
		case idemhttp.OutcomeRunning:
			return "ask again under the same key, in " + refused.RetryAfter.String()
		case idemhttp.OutcomeUnknown:
			return "find out by other means; never take a new key by yourself"
		case idemhttp.OutcomeReused:
			return "a mistake here: this key is another request's"
		default:
			return fmt.Sprintf("%v: retry under the same key: %t", refused, refused.Retryable)
		}
	}
	for _, code := range []idempotency.Code{
		idempotency.ErrInProgress, idempotency.ErrOutcomeUnknown, idempotency.ErrKeyReused, idempotency.ErrStoreUnavailable,
	} {
		answer := httptest.NewRecorder()
		idemhttp.WriteError(answer, &idempotency.Error{Code: code})
		fmt.Println(handle(answer.Result()))
	}
	// Output:
	// ask again under the same key, in 1s
	// find out by other means; never take a new key by yourself
	// a mistake here: this key is another request's
	// idemhttp: refused: store_unavailable (status 503): retry under the same key: true
}

// OutcomeOf looks at the header only.
func ExampleOutcomeOf() {
	answer := httptest.NewRecorder()
	answer.Header().Set("Idempotency-Status", "replayed")
	answer.WriteHeader(http.StatusPaymentRequired)
	fmt.Println(idemhttp.OutcomeOf(answer.Result()))
	// Output: done
}

func storeBeforeTheFirstTry(_, _ string) {}

// shakyService is a protected service that loses its first answers: the handler
// runs, and the connection is cut.
type shakyService struct {
	*httptest.Server

	stop func()
}

func (s shakyService) Close() {
	s.Server.Close()
	s.stop()
}

func newShakyService(losses int64) shakyService {
	guard, stop := newGuard()
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	if err != nil {
		panic(err)
	}
	var payments, requests atomic.Int64
	mux := http.NewServeMux()
	err = mw.Handle(mux, "POST /payments", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, "payment %d", payments.Add(1))
	}))
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) > losses {
			mux.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}))
	return shakyService{Server: server, stop: stop}
}

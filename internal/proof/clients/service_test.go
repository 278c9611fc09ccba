package clients_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store/memstore"
)

// service is a protected service that loses its first answers: the handler
// runs, its answer is recorded, and the connection is cut.
type service struct {
	*httptest.Server

	losses int // of answers
	outage int // answers 503 before any effect

	mu   sync.Mutex
	keys []string
	runs int // that had an effect
}

// newService starts a service; stop ends it.
func newService(losses, outage int) (s *service, stop func()) {
	s = &service{losses: losses, outage: outage}
	st, err := memstore.New()
	if err != nil {
		panic(err)
	}
	guard, err := idempotency.New(st)
	if err != nil {
		panic(err)
	}
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	if err := mw.Handle(mux, "POST /payments", http.HandlerFunc(s.pay)); err != nil {
		panic(err)
	}
	s.Server = httptest.NewServer(s.losing(mux))
	return s, func() {
		s.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = guard.Shutdown(ctx)
	}
}

func (s *service) pay(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outage > 0 {
		s.outage--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	s.runs++
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprintf(w, "payment %d", s.runs)
}

func (s *service) losing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.keys = append(s.keys, r.Header.Get("Idempotency-Key"))
		lost := len(s.keys) <= s.losses
		s.mu.Unlock()
		if !lost {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	})
}

// told returns the keys of all requests, and how many had an effect.
func (s *service) told() (keys []string, runs int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.keys...), s.runs
}

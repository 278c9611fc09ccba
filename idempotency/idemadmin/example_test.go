package idemadmin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemadmin"
	"github.com/reprise-go/reprise/store/memstore"
)

// The page under a prefix. Authentication goes around it.
func ExampleNew() {
	records, err := memstore.New()
	if err != nil {
		panic(err)
	}
	guard, err := idempotency.New(records)
	if err != nil {
		panic(err)
	}
	defer func() { _ = guard.Shutdown(context.Background()) }()

	page, err := idemadmin.New(guard,
		idemadmin.AllowSettling(),
		idemadmin.Operator(func(r *http.Request) string { name, _, _ := r.BasicAuth(); return name }))
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/ops/", authenticated(http.StripPrefix("/ops", page)))

	for _, user := range []string{"", "ada"} {
		r := httptest.NewRequest(http.MethodGet, "/ops/", nil)
		if user != "" {
			r.SetBasicAuth(user, "correct horse")
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 401
	// 200
}

func authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "correct horse" {
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "who is there?", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

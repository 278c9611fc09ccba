package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

type tenantKey struct{}

// authenticate lets requests with a tenant's test key pass and answers the
// others 401. It stands outside the idempotency middleware: who may not ask
// must not find out whether a key was used.
func authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tenant, ok := tenantOf(r.Header.Get("Authorization"))
		if !ok {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeProblem(w, errUnauthenticated)
			return
		}
		next.ServeHTTP(w, r.WithContext(withTenant(r.Context(), tenant)))
	})
}

// tenantOf reads "Bearer sk_test_<tenant>".
func tenantOf(authorization string) (tenant string, ok bool) {
	scheme, credentials, _ := strings.Cut(authorization, " ")
	tenant, ok = strings.CutPrefix(credentials, "sk_test_")
	ok = ok && strings.EqualFold(scheme, "Bearer") && tenant != "" && !strings.ContainsAny(tenant, " \t,")
	return tenant, ok
}

func withTenant(ctx context.Context, tenant string) context.Context {
	return context.WithValue(ctx, tenantKey{}, tenant)
}

// tenantFrom returns the authenticated tenant.
func tenantFrom(ctx context.Context) string {
	tenant, _ := ctx.Value(tenantKey{}).(string)
	return tenant
}

// scope makes the tenant the scope of every key: two tenants that happen to
// send the same key never meet.
func scope(r *http.Request) (string, error) { return tenantScope(r.Context()) }

func tenantScope(ctx context.Context) (string, error) {
	tenant := tenantFrom(ctx)
	if tenant == "" {
		return "", errors.New("the call is not behind authentication")
	}
	return tenant, nil
}

package idemhttp_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store/memstore"
)

// F23: a former configuration that no record can name would be of no effect, and
// nobody would hear of it.
func TestF23_FormerFingerprintsThatNeverWereAreConstructionErrors(t *testing.T) {
	t.Parallel()
	amount := []string{"/amount"}
	tests := []struct {
		name   string
		base   idempotency.FingerprintRule
		former idempotency.Policy
		wrong  string // "" for one that may have been
	}{
		{"only without json", "", idempotency.Policy{FingerprintOnly: amount}, `Policy.FingerprintOnly needs Fingerprint "json", not "request"`},
		{"exclude without json", "", idempotency.Policy{FingerprintExclude: amount}, "Policy.FingerprintExclude needs"},
		{"unknown word", "", idempotency.Policy{Fingerprint: "jsn"}, `Policy.Fingerprint is "jsn"`},
		{"headers without anything", "", idempotency.Policy{Fingerprint: idempotency.FingerprintOff, FingerprintHeaders: []string{"X-A"}}, "Policy.FingerprintHeaders needs"},
		{"malformed pointer", idempotency.FingerprintJSON, idempotency.Policy{FingerprintOnly: []string{"/~"}}, "Policy.FingerprintOnly"},
		{"only, the guard has json", idempotency.FingerprintJSON, idempotency.Policy{FingerprintOnly: amount}, ""},
		{"only with json", "", idempotency.Policy{Fingerprint: idempotency.FingerprintJSON, FingerprintOnly: amount}, ""},
		{"headers", "", idempotency.Policy{FingerprintHeaders: []string{"X-A"}}, ""},
		{"fields that do not count", "", idempotency.Policy{FingerprintHeaders: []string{"X-A"}, Key: "never", Lease: -1}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			records, err := memstore.New()
			require.NoError(t, err)
			guard, err := idempotency.New(records, idempotency.WithPolicy(idempotency.Policy{Fingerprint: tt.base}))
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, guard.Shutdown(context.Background())) })
			_, err = idemhttp.New(guard, idemhttp.GlobalScope(), idemhttp.FormerFingerprints(tt.former))
			if tt.wrong == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "FormerFingerprints: "+tt.wrong)
		})
	}
}

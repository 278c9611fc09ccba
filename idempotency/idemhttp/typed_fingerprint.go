package idemhttp

import (
	"encoding/hex"
	"slices"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// The algorithms by which requests to typed handlers are compared: like
// [jsonFingerprint], but any body is JSON, and Content-Type and Content-Encoding do
// not count, because such a handler looks at neither.
const (
	typedFingerprint = "typed/1"
	typedConfigured  = "t1" // six hex digits follow, as after jsonConfigured
)

// forTyped returns the algorithm for a handler whose requests are one JSON object:
// the parts of it that count are those which the tags of its struct leave. It does
// not matter whether the policy says [idempotency.FingerprintJSON].
//
// The body is compared, and not what it was decoded into: a type that reads itself
// may write less than it has read, and two requests would look the same.
func (f fingerprinter) forTyped(parts memberPointers) (fingerprinter, error) {
	if f.algorithm == store.NoFingerprint {
		return f, nil
	}
	typed, err := newTypedFingerprinter(parts, f.headers)
	if err != nil {
		return fingerprinter{}, err
	}
	// What counted before a tag was changed can be said as a former policy.
	typed.former = slices.Clone(f.former)
	for _, former := range f.former {
		if former.canonical {
			typed.former = append(typed.former, former.typedTwin())
		}
	}
	return typed, nil
}

func newTypedFingerprinter(parts memberPointers, headers []string) (fingerprinter, error) {
	f := fingerprinter{only: parts.only, exclude: parts.exclude, headers: headers}
	var err error
	f.parts, err = newSelection(parts.only, parts.exclude)
	return f.typedTwin(), err
}

// typedTwin is the algorithm that takes any body for JSON.
func (f fingerprinter) typedTwin() fingerprinter {
	f.algorithm, f.canonical, f.typed, f.configuration = typedFingerprint, true, true, nil
	if len(f.headers) > 0 || f.parts != (selection{}) {
		f.configuration = configurationOf(typedConfigured, f.only, f.exclude, f.headers)
		f.algorithm = typedConfigured + hex.EncodeToString(f.configuration[:3])
	}
	return f
}

// effective returns the policy that requests are served by at the moment. The tags of a
// typed handler say what counts, whatever the declared policy calls it.
func (rt *route) effective() idempotency.Policy {
	policy := rt.live.Policy()
	if rt.plan == nil || policy.Fingerprint == idempotency.FingerprintOff {
		return policy
	}
	policy.Fingerprint = idempotency.FingerprintJSON
	policy.FingerprintOnly = slices.Clone(rt.plan.parts.only)
	policy.FingerprintExclude = slices.Clone(rt.plan.parts.exclude)
	return policy
}

// algorithmFor is the algorithm by which a request is bound to its key: one that
// could not be read into its struct counts as it was sent. Otherwise a request that
// is wrong in a part that does not count would get its old refusal once it is put
// right.
func (f fingerprinter) algorithmFor(request typedRequest) string {
	if request.err != nil && f.algorithm != store.NoFingerprint {
		return rawFingerprint
	}
	return f.algorithm
}

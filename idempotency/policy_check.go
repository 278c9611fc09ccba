package idempotency

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reprise-go/reprise/store"
)

// Bounds of a policy's numbers.
const (
	minLease     = 100 * time.Millisecond
	minRetention = time.Second
	maxRetention = 30 * 24 * time.Hour
	maxHold      = 24 * time.Hour
	minWait      = time.Millisecond
	maxWait      = 10 * time.Minute
	maxWaiters   = 1_000_000
	maxRequest   = 512 << 20
	maxResponse  = 128 << 20 // what every store takes
)

// Validate checks a whole policy, as [DefaultPolicy] overridden by what was
// said gives it. All faults are joined; each names its field, the value and
// what would be right.
func (p Policy) Validate() error {
	return errors.Join(
		p.checkWords(),
		p.checkFingerprint(),
		p.checkWait(),
		p.checkDurations(),
		within("MaxRequestBody", p.MaxRequestBody, 1, maxRequest),
		within("MaxResponseBody", p.MaxResponseBody, 1, maxResponse),
	)
}

// checkWords checks the fields that have one of a few values.
func (p Policy) checkWords() error {
	var errs []error
	for _, w := range policyWords() {
		if got := w.write(p); w.values != nil && !slices.Contains(w.values, got) {
			errs = append(errs, fmt.Errorf("%s is %q, not one of %q", w.field, got, w.values))
		}
	}
	return errors.Join(errs...)
}

func (p Policy) checkDurations() error {
	err := errors.Join(
		within("Lease", p.Lease, minLease, maxHold),
		within("MaxHold", p.MaxHold, minLease, maxHold),
		within("Retention", p.Retention, minRetention, maxRetention),
	)
	if p.MaxHold < p.Lease {
		err = errors.Join(err, fmt.Errorf("MaxHold %v is shorter than Lease %v", p.MaxHold, p.Lease))
	}
	if p.Retention <= p.Lease {
		err = errors.Join(err, fmt.Errorf("Retention %v is not longer than Lease %v", p.Retention, p.Lease))
	}
	if p.MinRetention != 0 {
		err = errors.Join(err, within("MinRetention", p.MinRetention, minRetention, maxRetention))
	}
	if p.MinRetention > p.Retention {
		err = errors.Join(err, fmt.Errorf("MinRetention %v is longer than Retention %v", p.MinRetention, p.Retention))
	}
	return err
}

func (p Policy) checkWait() error {
	err := within("MaxWaiters", int64(p.MaxWaiters), 1, maxWaiters)
	if p.Wait == NoWait {
		return err
	}
	if p.Wait < minWait || p.Wait > maxWait {
		err = errors.Join(err, fmt.Errorf("Wait is %v, not NoWait and not within %v and %v", p.Wait, minWait, maxWait))
	}
	return err
}

func (p Policy) checkFingerprint() error {
	err := errors.Join(
		p.checkPointers("FingerprintOnly", p.FingerprintOnly),
		p.checkPointers("FingerprintExclude", p.FingerprintExclude))
	if len(p.FingerprintHeaders) > 0 && p.Fingerprint == FingerprintOff {
		err = errors.Join(err, fmt.Errorf("FingerprintHeaders needs another Fingerprint than %q", FingerprintOff))
	}
	return err
}

func (p Policy) checkPointers(field string, pointers []string) error {
	var errs []error
	if len(pointers) > 0 && p.Fingerprint != FingerprintJSON {
		errs = append(errs, fmt.Errorf("%s needs Fingerprint %q, not %q", field, FingerprintJSON, p.Fingerprint))
	}
	for _, pointer := range pointers {
		if !strings.HasPrefix(pointer, "/") {
			errs = append(errs, fmt.Errorf("%s: %q is no JSON Pointer: it must begin with /", field, pointer))
		}
	}
	return errors.Join(errs...)
}

func within[T int64 | time.Duration](field string, got, least, most T) error {
	if got >= least && got <= most {
		return nil
	}
	return fmt.Errorf("%s is %v, not within %v and %v", field, got, least, most)
}

// shortestRetention is what any record of the operation lives at least.
func (p Policy) shortestRetention() time.Duration {
	if p.MinRetention != 0 {
		return p.MinRetention
	}
	return p.Retention
}

func (p Policy) takeOver() store.TakeOver {
	switch p.Orphan {
	case OrphanRerun:
		return store.TakeOverAlways
	case OrphanRerunUnmarked:
		return store.TakeOverUnmarked
	default:
		return store.TakeOverNever
	}
}

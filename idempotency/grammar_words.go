package idempotency

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reprise-go/reprise/internal/nearest"
)

// policyWords returns the grammar: each field of a [Policy], in the order in
// which they are written. [Policy.Validate] takes the values that a field may
// have from here, too.
func policyWords() []policyWord {
	const (
		spelling  = "keys that are in use would become others"
		comparing = "requests would no longer match the records of earlier ones"
		recording = "what is recorded of an answer is settled when its route is mounted"
	)
	return []policyWord{
		choice("", "Key", func(p *Policy) *KeyRule { return &p.Key }, KeyRequired, KeyOptional, KeyOff, KeyShadow),
		choice("key-format", "KeyFormat", func(p *Policy) *KeyFormat { return &p.KeyFormat }, KeyAny, KeyUUID, KeyUUIDv4, KeyUUIDv7).stays(spelling),
		period("retention", "Retention", "24h", func(p *Policy) *time.Duration { return &p.Retention }),
		period("min-retention", "MinRetention", "1h", func(p *Policy) *time.Duration { return &p.MinRetention }),
		period("lease", "Lease", "30s", func(p *Policy) *time.Duration { return &p.Lease }),
		period("max-hold", "MaxHold", "15m", func(p *Policy) *time.Duration { return &p.MaxHold }),
		waiting("wait", "Wait", "2s", func(p *Policy) *time.Duration { return &p.Wait }),
		count("max-waiters", "MaxWaiters", func(p *Policy) *int { return &p.MaxWaiters }),
		choice("conflict", "Conflict", func(p *Policy) *ConflictRule { return &p.Conflict }, Conflict409, Conflict425, Conflict503),
		choice("orphan", "Orphan", func(p *Policy) *Orphan { return &p.Orphan }, OrphanRefuse, OrphanRerunUnmarked, OrphanRerun),
		choice("record", "Record", func(p *Policy) *RecordRule { return &p.Record }, RecordDeterministic, RecordSuccess, RecordAll),
		choice("failure", "Failure", func(p *Policy) *FailureRule { return &p.Failure }, FailureReleases, FailureUnknown),
		choice("store-down", "StoreDown", func(p *Policy) *StoreDownRule { return &p.StoreDown }, StoreDownClosed, StoreDownOpen),
		choice("caller", "Caller", func(p *Policy) *CallerRule { return &p.Caller }, CallerDetached, CallerAttached),
		choice("stream", "Stream", func(p *Policy) *StreamRule { return &p.Stream }, StreamBuffer, StreamPass),
		choice("fingerprint", "Fingerprint", func(p *Policy) *FingerprintRule { return &p.Fingerprint },
			FingerprintRequest, FingerprintJSON, FingerprintOff).stays(comparing),
		listing("fingerprint-only", "FingerprintOnly", "/a|/b", func(p *Policy) *[]string { return &p.FingerprintOnly }).stays(comparing),
		listing("fingerprint-exclude", "FingerprintExclude", "/ts|/x", func(p *Policy) *[]string { return &p.FingerprintExclude }).stays(comparing),
		listing("fingerprint-headers", "FingerprintHeaders", "X-A|X-B", func(p *Policy) *[]string { return &p.FingerprintHeaders }).stays(comparing),
		size("max-request-body", "MaxRequestBody", "1MiB", func(p *Policy) *int64 { return &p.MaxRequestBody }),
		size("max-response-body", "MaxResponseBody", "64KiB", func(p *Policy) *int64 { return &p.MaxResponseBody }),
		listing("headers", "Headers", "X-A|X-B", func(p *Policy) *[]string { return &p.Headers }).stays(recording),
	}
}

// choice is a field that has one of a few values.
func choice[T ~string](name, field string, of func(*Policy) *T, values ...T) policyWord {
	w := policyWord{name: name, field: field}
	for _, value := range values {
		w.values = append(w.values, string(value))
	}
	w.read = func(p *Policy, value string) error {
		if !slices.Contains(w.values, value) {
			return fmt.Errorf("the value is not one of %q; the nearest is %q", w.values, nearest.Word(value, w.values))
		}
		*of(p) = T(value)
		return nil
	}
	w.write = func(p Policy) string { return string(*of(&p)) }
	return w
}

func period(name, field, form string, of func(*Policy) *time.Duration) policyWord {
	return policyWord{
		name: name, field: field, form: form,
		read: func(p *Policy, value string) (err error) {
			*of(p), err = parsePeriod(value)
			return err
		},
		write: func(p Policy) string { return formatPeriod(*of(&p)) },
	}
}

// waiting is a duration that has a word for none.
func waiting(name, field, form string, of func(*Policy) *time.Duration) policyWord {
	const none = "none"
	w := period(name, field, form, of)
	read, write := w.read, w.write
	w.form = form + " or " + none
	w.read = func(p *Policy, value string) error {
		if value == none {
			*of(p) = NoWait
			return nil
		}
		err := read(p, value)
		if err != nil {
			err = fmt.Errorf("%w; without waiting it is %q", err, name+"="+none)
		}
		return err
	}
	w.write = func(p Policy) string {
		if *of(&p) == NoWait {
			return none
		}
		return write(p)
	}
	return w
}

func count(name, field string, of func(*Policy) *int) policyWord {
	return policyWord{
		name: name, field: field, form: "1000",
		read: func(p *Policy, value string) error {
			n, err := strconv.Atoi(value)
			if err != nil || n <= 0 {
				return errors.New("the value is not a whole number above zero")
			}
			*of(p) = n
			return nil
		},
		write: func(p Policy) string { return formatNumber(int64(*of(&p))) },
	}
}

func size(name, field, form string, of func(*Policy) *int64) policyWord {
	return policyWord{
		name: name, field: field, form: form,
		read: func(p *Policy, value string) (err error) {
			*of(p), err = parseSize(value)
			return err
		},
		write: func(p Policy) string { return formatSize(*of(&p)) },
	}
}

// listing is a field whose items add up, or replace others.
func listing(name, field, form string, of func(*Policy) *[]string) policyWord {
	return policyWord{
		name: name, field: field, form: form,
		read: func(p *Policy, value string) error {
			for item := range strings.SplitSeq(value, "|") {
				decoded, err := decodeItem(item)
				if err != nil {
					return err
				}
				*of(p) = append(*of(p), decoded)
			}
			return nil
		},
		write: func(p Policy) string {
			items := make([]string, len(*of(&p)))
			for i, item := range *of(&p) {
				items[i] = encodeItem(item)
			}
			return strings.Join(items, "|")
		},
	}
}

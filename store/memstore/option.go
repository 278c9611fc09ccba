package memstore

import (
	"errors"
	"fmt"
)

// The bounds of a store for which no option says otherwise.
const (
	DefaultMaxRecords = 100_000
	DefaultMaxBytes   = 256 << 20
)

// minBytes has room for one running record with the longest names.
const minBytes = 2 * emptyRecord

// Option bounds a store.
type Option func(*config)

type config struct {
	records int
	bytes   int64
}

// MaxRecords bounds how many records the store holds at once; at least 1, by
// default [DefaultMaxRecords]. When it is reached, claims that would create a
// record are refused with an error wrapping [store.ErrUnavailable] until
// records expire. Everything else goes on: running operations end and are
// recorded, finished ones are replayed, released ones start again.
func MaxRecords(n int) Option { return func(c *config) { c.records = n } }

// MaxBytes bounds, in the same way, how much memory the store's records take,
// answers and bookkeeping included; at least 1 KiB, by default
// [DefaultMaxBytes]. Because running operations are always recorded the store
// may exceed it by their answers.
func MaxBytes(n int64) Option { return func(c *config) { c.bytes = n } }

func (c config) check() error {
	var errs []error
	if c.records < 1 {
		errs = append(errs, fmt.Errorf("memstore: MaxRecords is %d, not at least 1", c.records))
	}
	if c.bytes < minBytes {
		errs = append(errs, fmt.Errorf("memstore: MaxBytes is %d, not at least %d", c.bytes, minBytes))
	}
	return errors.Join(errs...)
}

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// entry is one executed effect, as clients may see it.
type entry struct {
	Seq     int64  `json:"seq"`
	Kind    string `json:"kind"`
	Payment string `json:"payment"`
	Amount  int64  `json:"amount"`
	KeyHash string `json:"key_hash"`
	Token   int64  `json:"token"`

	Instance string    `json:"instance"`
	At       time.Time `json:"at"`
}

// line is one line of the ledger: the entry, whose it is, and the whole payment
// or refund as it is after the effect.
type line struct {
	entry
	Tenant string          `json:"tenant"`
	Data   json.RawMessage `json:"data"`
}

// The kinds of entries.
const (
	kindCharge = "charge"
	kindRefund = "refund"
	kindUpdate = "update"
)

// ledger is where the money is: an append-only list of executed effects. On a
// file it is shared by any number of processes, and what one of them appends
// the others find. Safe for concurrent use.
type ledger struct {
	mu       sync.Mutex
	file     *os.File // nil: in memory
	read     int64    // how many bytes of the file have been applied
	lines    []line
	payments map[owned]payment
}

// owned is an id in the hands of a tenant. No tenant finds another's payments.
type owned struct{ tenant, id string }

// openLedger opens or creates the ledger on a file and reads it; no path means
// a ledger in memory.
func openLedger(path string) (*ledger, error) {
	l := &ledger{payments: make(map[owned]payment)}
	if path == "" {
		return l, nil
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	l.file = file
	if err := l.locked(func() error { return nil }); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return l, nil
}

// Append gives the entry its number and writes it. When it returns nil, the
// line is on disk.
func (l *ledger) Append(e entry, tenant string, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if err := l.locked(func() error { return l.append(line{e, tenant, raw}) }); err != nil {
		return err
	}
	if l.file == nil {
		return nil
	}
	// Outside the lock, so that a slow disk takes the lines of several effects
	// with one sync instead of one after the other.
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// Payment returns a tenant's payment as it is now.
func (l *ledger) Payment(tenant, id string) (p payment, found bool, err error) {
	err = l.locked(func() error {
		p, found = l.payments[owned{tenant, id}]
		return nil
	})
	return p, found, err
}

// Payments returns a tenant's payments as they are now, in the order in which
// they were made.
func (l *ledger) Payments(tenant string) ([]payment, error) {
	list := []payment{}
	err := l.locked(func() error {
		for _, line := range l.lines {
			if line.Tenant == tenant && line.Kind == kindCharge {
				list = append(list, l.payments[owned{tenant, line.Payment}])
			}
		}
		return nil
	})
	return list, err
}

// Entries returns a tenant's part of the ledger.
func (l *ledger) Entries(tenant string) ([]entry, error) {
	list := []entry{}
	err := l.locked(func() error {
		for _, line := range l.lines {
			if line.Tenant == tenant {
				list = append(list, line.entry)
			}
		}
		return nil
	})
	return list, err
}

// Close closes the file.
func (l *ledger) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// locked runs fn on the newest state while nobody else, in this process or
// another, reads or writes.
func (l *ledger) locked(fn func() error) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return fn()
	}
	if err := lockFile(l.file); err != nil {
		return fmt.Errorf("ledger: lock: %w", err)
	}
	defer func() { err = errors.Join(err, unlockFile(l.file)) }()
	if err := l.catchUp(); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return fn()
}

func (l *ledger) append(next line) error {
	next.Seq = 1
	if n := len(l.lines); n > 0 {
		next.Seq = l.lines[n-1].Seq + 1
	}
	if l.file == nil {
		return l.apply(next)
	}
	raw, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	n, err := l.file.Write(append(raw, '\n'))
	if err != nil {
		return fmt.Errorf("ledger: %w", err) // a part of a line is cut off by catchUp
	}
	l.read += int64(n)
	return l.apply(next)
}

// catchUp applies what others have appended.
func (l *ledger) catchUp() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	fresh := make([]byte, info.Size()-l.read)
	if _, err := io.ReadFull(io.NewSectionReader(l.file, l.read, int64(len(fresh))), fresh); err != nil {
		return err
	}
	whole := bytes.LastIndexByte(fresh, '\n') + 1
	for raw := range bytes.Lines(fresh[:whole]) {
		if err := l.decode(raw); err != nil {
			return fmt.Errorf("line at byte %d: %w", l.read, err)
		}
		l.read += int64(len(raw))
	}
	if whole == len(fresh) {
		return nil
	}
	// Whoever wrote the rest died over it: writers hold the lock that is ours
	// now. Its effect never counted as done, and left in place it would spoil
	// the line that comes after it.
	return l.file.Truncate(l.read)
}

func (l *ledger) decode(raw []byte) error {
	var next line
	if err := json.Unmarshal(raw, &next); err != nil {
		return err
	}
	return l.apply(next)
}

func (l *ledger) apply(next line) error {
	if next.Kind == kindCharge || next.Kind == kindUpdate {
		var p payment
		if err := json.Unmarshal(next.Data, &p); err != nil {
			return err
		}
		l.payments[owned{next.Tenant, p.ID}] = p
	}
	l.lines = append(l.lines, next)
	return nil
}

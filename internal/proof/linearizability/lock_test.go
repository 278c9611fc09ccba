package linearizability_test

import (
	"context"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/proof/linearizability"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/memlock"
	"github.com/reprise-go/reprise/lock/redislock"
	"github.com/reprise-go/reprise/store"
)

// The lock on a real server is held by one owner at a time, ends when its lease
// does and not before, gives tokens that grow, and knows its owners again,
// whatever happens to the line.
func TestHistoriesOfRedislockFollowTheProtocol(t *testing.T) {
	for _, p := range profiles {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.judge(t, p.runLocks(t, operations(t)))
		})
	}
}

// The memory backend keeps to the same model.
func TestHistoriesOfMemlockFollowTheProtocol(t *testing.T) {
	t.Parallel()
	began := time.Now() // the backend counts from such a moment, by the monotonic clock
	h, err := linearizability.LockWorkload{
		Workload: linearizability.Workload{
			Operations: operations(t), Lease: lease, Timeout: patient, Seed: 1,
		},
		Clock: func() store.Instant { return store.Instant(began.UnixMicro() + time.Since(began).Microseconds()) },
	}.Run(t.Context(), memlock.New())
	require.NoError(t, err)
	profile{}.judge(t, h)
}

// runLocks sends a workload, from two backends on one server.
func (p profile) runLocks(t *testing.T, operations int) *linearizability.Histories {
	t.Helper()
	l := p.start(t)
	ways := []lock.Backend{p.backend(t, l, l.troubled()), p.backend(t, l, l.spared(p.half))}
	steady := steadyClock()
	h := l.during(t, p.trouble, func() (*linearizability.Histories, error) {
		return linearizability.LockWorkload{
			Workload: p.workload(l, operations),
			Clock:    func() store.Instant { return store.Instant(time.Now().UnixMicro()) },
			Look: func(ctx context.Context, id lock.ID) (linearizability.LockRecord, error) {
				return look(ctx, l.direct, id)
			},
		}.Run(t.Context(), ways...)
	})
	if !steady() {
		t.Skip("NOT TESTED: somebody set the wall clock, which the server goes by, during the test")
	}
	return h
}

// steadyClock returns what reports whether the wall clock has gone on as the
// monotonic one has, but for what keeps it in step with others.
func steadyClock() func() bool {
	began := time.Now()
	return func() bool {
		now := time.Now()
		apart := now.Round(0).Sub(began.Round(0)) - now.Sub(began)
		return apart.Abs() < time.Millisecond+now.Sub(began)/1000
	}
}

func (p profile) backend(t *testing.T, l *line, addr string) lock.Backend {
	t.Helper()
	// Traces must outlast a history.
	b, err := redislock.New(p.client(t, l, addr, lockScripts), redislock.Trace(time.Hour))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, b.Close()) })
	if p.wrapLock != nil {
		return p.wrapLock(b)
	}
	return b
}

// look reads a lock's record. It is a string of fields, which the backend's
// scripts describe in record.lua.
func look(ctx context.Context, rdb *redis.Client, id lock.ID) (rec linearizability.LockRecord, err error) {
	raw, err := rdb.Get(ctx, redislock.DefaultNamespace+":{"+id.String()+"}").Result()
	switch {
	case errors.Is(err, redis.Nil):
		return rec, nil
	case err != nil:
		return rec, err
	}
	rec.Held, rec.Ended, rec.Kept = raw[4] == 'H', raw[4] == 'T', raw[6] == '1'
	rec.Token = lock.Token(number(raw[7:23]))
	if rec.Held {
		rec.End = number(raw[23:39]) + number(raw[39:55])
	}
	_, err = hex.Decode(rec.Owner[:], []byte(raw[55:87]))
	for i := range rec.Former {
		_, bad := hex.Decode(rec.Former[i][:], []byte(raw[87+16*i:103+16*i]))
		err = errors.Join(err, bad)
	}
	return rec, err
}

func number(digits string) int64 {
	n, _ := strconv.ParseInt(digits, 10, 64) // the backend checks it
	return n
}

// lockScripts are those of redislock: record takes the place of a line in each.
var lockScripts = library{
	folder: "../../../lock/redislock/lua/",
	text: func(read func(string) string, name string) string {
		return strings.Replace(read(name), "-- include record\n", read("record"), 1)
	},
}

// A lock that is wrong in one way has a history that the model does not allow.
func TestHistoriesOfBrokenLocksAreRefused(t *testing.T) {
	tests := []struct {
		name string
		edit edit
	}{
		{"no owner check", edit{"release", "raw and sub(raw, 56, 87) == owner", "raw and true"}},
		{"acquire not idempotent per owner", edit{"acquire", "raw and sub(raw, 56, 87) == owner", "raw and false"}},
		{"tokens begin again", edit{"acquire", "token = after(raw)", "token = '0000000000000001'"}},
		{"the lease lapses early", edit{"acquire", "lease - clock, lease)", "lease - clock - 2000, lease)"}},
		{"the lease lapses late", edit{"acquire", "lease - clock, lease)", "lease - clock + 2000, lease)"}},
		{"a late claim takes up what was released", edit{"acquire", "if mine and sub(raw, 5, 5) == 'T'", "if false"}},
		{"a repeated release has lost the lock", edit{"release", "if released(raw, owner) then return 'D'", "if released(raw, owner) then return 'L'"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			refused(t, func(seed uint64) *linearizability.Histories {
				p := profile{seed: seed, trouble: loseReplies(0.05), edits: []edit{test.edit}}
				return p.runLocks(t, 2000)
			})
		})
	}
	t.Run("a renewal is never too late", func(t *testing.T) {
		t.Parallel()
		refused(t, func(seed uint64) *linearizability.Histories {
			p := profile{seed: seed, trouble: loseReplies(0.05)}
			p.wrapLock = func(b lock.Backend) lock.Backend { return alwaysRenews{b} }
			return p.runLocks(t, 2000)
		})
	})
}

// alwaysRenews tells every owner that its lease was renewed.
type alwaysRenews struct{ lock.Backend }

func (b alwaysRenews) Renew(ctx context.Context, renewals []lock.Renewal) []lock.RenewResult {
	results := b.Backend.Renew(ctx, renewals)
	for i := range results {
		results[i].Lost = false
	}
	return results
}

package locktest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/locktest"
	"github.com/reprise-go/reprise/lock/memlock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broken is a right backend with one call replaced.
type broken struct {
	*memlock.Backend
	acquire func(ctx context.Context, id lock.ID, claim lock.Claim) (lock.Reply, error)
	renew   func(ctx context.Context, renewals []lock.Renewal) []lock.RenewResult
	release func(ctx context.Context, id lock.ID, owner lock.Owner) (bool, error)
	watch   func(id lock.ID) lock.Watch
}

func (b *broken) Acquire(ctx context.Context, id lock.ID, claim lock.Claim) (lock.Reply, error) {
	if b.acquire == nil {
		return b.Backend.Acquire(ctx, id, claim)
	}
	return b.acquire(ctx, id, claim)
}

func (b *broken) Renew(ctx context.Context, renewals []lock.Renewal) []lock.RenewResult {
	if b.renew == nil {
		return b.Backend.Renew(ctx, renewals)
	}
	return b.renew(ctx, renewals)
}

func (b *broken) Release(ctx context.Context, id lock.ID, owner lock.Owner) (bool, error) {
	if b.release == nil {
		return b.Backend.Release(ctx, id, owner)
	}
	return b.release(ctx, id, owner)
}

func (b *broken) Watch(id lock.ID) lock.Watch {
	if b.watch == nil {
		return b.Backend.Watch(id)
	}
	return b.watch(id)
}

// fault is a broken backend and the cases that have to name it.
type fault struct {
	name  string
	make  func(b *broken)
	cases []string
}

// TestBrokenBackendsAreNamed shows that each fault is found by the cases that are
// about it, and that every case finds a fault: one that cannot fail would only
// look like a check.
func TestBrokenBackendsAreNamed(t *testing.T) {
	t.Parallel()
	caught := make(map[string]bool)
	for _, f := range faults() {
		for _, name := range f.cases {
			caught[name] = true
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for _, name := range f.cases {
				assert.NotNil(t, finds(t, name, f.make), "it is not found by %q", name)
			}
		})
	}
	for name := range locktest.Names() {
		assert.True(t, caught[name], "no broken backend fails the case %q", name)
	}
}

func TestRightBackendPassesEveryCase(t *testing.T) {
	t.Parallel()
	for name := range locktest.Names() {
		assert.Nil(t, finds(t, name, func(*broken) {}))
	}
}

// finds runs one case on a backend with the fault.
func finds(t *testing.T, name string, fault func(b *broken)) (failure *locktest.Failure) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &broken{Backend: memlock.New()}
		fault(b)
		failure = locktest.CheckOnly(t.Context(), locktest.Harness{Backend: b, Fenced: true, Advance: time.Sleep}, name)
		if failure != nil {
			require.NotContains(t, failure.Detail, "there is no such case")
		}
		synctest.Wait()
	})
	return failure
}

func TestCheckReportsPassesFailuresAndSkips(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		report := locktest.Check(t.Context(), func() locktest.Harness {
			b := &broken{Backend: memlock.New()}
			b.release = func(context.Context, lock.ID, lock.Owner) (bool, error) { return false, errors.New("it is down") }
			return locktest.Harness{Backend: struct{ lock.Backend }{b}, Advance: time.Sleep}
		})
		assert.Contains(t, report.Passed, "claim/free")
		require.NotEmpty(t, report.Failures)
		assert.Contains(t, report.Failures[0].String(), "why:  ")
		var skips string
		for _, s := range report.Skips {
			skips += s.String() + "\n"
		}
		assert.Contains(t, skips, "NOT CHECKED: token/grows: it compares")
		assert.Contains(t, skips, "NOT CHECKED: watch/release: it waits")
		assert.Len(t, locktest.Names(), len(report.Passed)+len(report.Failures)+len(report.Skips))
	})
}

package lock_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/memlock"
)

// What the locker itself costs, beside a backend that costs next to nothing.
func BenchmarkTryLockAndRelease(b *testing.B) {
	l, err := lock.New(memlock.New())
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		le, err := l.TryLock(b.Context(), "k")
		if err != nil {
			b.Fatal(err)
		}
		if err := le.Release(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, l.Close())
}

package memlock_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/locktest"
	"github.com/reprise-go/reprise/lock/memlock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	locktest.Run(t, func(*testing.T) locktest.Harness {
		return locktest.Harness{Backend: memlock.New(), Fenced: true, Advance: time.Sleep}
	}, locktest.InBubble(), locktest.InParallel())
}

func TestConformanceInRealTime(t *testing.T) {
	t.Parallel()
	shared := memlock.New()
	locktest.Run(t, func(*testing.T) locktest.Harness {
		return locktest.Harness{Backend: shared, Fenced: true}
	}, locktest.InParallel())
}

// What is over is freed by later claims, and not before its trace may go.
func TestLocksThatAreOverAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := memlock.New()
		claim := func(key string) {
			owner := lock.NewOwner()
			_, err := b.Acquire(t.Context(), lock.NewID(key), lock.Claim{Owner: owner, Lease: time.Second})
			require.NoError(t, err)
			if len(key)%2 == 0 {
				_, err = b.Release(t.Context(), lock.NewID(key), owner)
				require.NoError(t, err)
			}
		}
		for i := range 1000 {
			claim(fmt.Sprint(i))
		}
		require.Equal(t, 1000, memlock.Size(b))
		time.Sleep(12 * time.Second)
		for range 2000 {
			claim("one")
		}
		require.Less(t, memlock.Size(b), 10)
	})
}

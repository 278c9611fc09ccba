package redislock_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/redislock"
)

// holderOn makes the test's binary a process that holds a lock on the server at that
// address, see [holdUntilLost].
const holderOn = "REDISLOCK_TEST_HOLDER_ON"

// pausedLease is how long the lock of a process that stands still is its own.
const pausedLease = 2 * time.Second

// holdUntilLost holds the lock "k", writes one line for each step that it takes under
// it, and in the end what it was told of the loss.
func holdUntilLost(addr string) {
	rdb := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	backend, err := redislock.New(rdb)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	locker, err := lock.New(backend, lock.LeaseTime(pausedLease))
	if err != nil {
		fmt.Println("error", err)
		return
	}
	le, err := locker.Lock(context.Background(), "k")
	if err != nil {
		fmt.Println("error", err)
		return
	}
	for {
		// The step's time is read before it is known to be allowed: whenever this
		// process stands still, none counts that is taken after that.
		now := time.Now()
		if !le.Held() {
			break
		}
		fmt.Println("step", now.UnixMicro())
		time.Sleep(time.Millisecond)
	}
	<-le.Context().Done()
	cause, released := context.Cause(le.Context()), le.Release(context.Background())
	fmt.Println("over", errors.Is(cause, lock.ErrLost), errors.Is(released, lock.ErrLost), le.Token())
}

// F07: a process stands still beyond its lease, and another one gets the lock. When
// it goes on it takes no step more, hears why, and frees nothing.
func TestHolderThatStoodStillTakesNoStepMore_F07(t *testing.T) {
	t.Parallel()
	srv := redistest.Start(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), holderOn+"="+srv.Addr())
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(stdout)
	var first int64
	require.True(t, lines.Scan())
	_, err = fmt.Sscanf(lines.Text(), "step %d", &first)
	require.NoError(t, err, lines.Text())

	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	rival := newLocker(t, open(t, srv.Client(t)))
	next, err := rival.Lock(t.Context(), "k")
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))

	last, over := first, ""
	for lines.Scan() && over == "" {
		if _, err := fmt.Sscanf(lines.Text(), "step %d", &last); err != nil {
			over = lines.Text()
		}
	}
	require.NoError(t, cmd.Wait())
	var heard, lost bool
	var token lock.Token
	_, err = fmt.Sscanf(strings.TrimSpace(over), "over %t %t %d", &heard, &lost, &token)
	require.NoError(t, err, over)
	assert.True(t, heard, "the context's cause is the loss")
	assert.True(t, lost, "the release says so, too")
	assert.Less(t, token, next.Token())
	assert.Less(t, last, int64(next.Token()), "it acted beside the next holder")
	require.NoError(t, next.Extend(t.Context()), "its release frees nothing")
	require.NoError(t, next.Release(t.Context()))
}

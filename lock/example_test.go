package lock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/memlock"
)

func ExampleLocker_Do() {
	locker, err := lock.New(memlock.New()) // a service of several processes uses redislock
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = locker.Close() }()

	err = locker.Do(context.Background(), "invoices:2026-11", func(ctx context.Context) error {
		held, _ := lock.FromContext(ctx)
		// Work with ctx: it ends if the lock is lost. What is written to may refuse
		// a token that is smaller than one it has seen.
		fmt.Println(held.Held(), held.Token() > 0, ctx.Err())
		return nil
	})
	fmt.Println(err)
	// Output:
	// true true <nil>
	// <nil>
}

func ExampleLocker_TryLock() {
	locker, err := lock.New(memlock.New())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = locker.Close() }()
	ctx := context.Background()

	first, err := locker.TryLock(ctx, "nightly report")
	fmt.Println(err)
	_, err = locker.TryLock(ctx, "nightly report")
	var held *lock.HeldError
	fmt.Println(errors.As(err, &held) && held.Left > 29*time.Second)
	fmt.Println(first.Release(ctx))
	fmt.Println(context.Cause(first.Context()))
	// Output:
	// <nil>
	// true
	// <nil>
	// lock was released
}

func ExampleNew() {
	_, err := lock.New(memlock.New(),
		lock.LeaseTime(10*time.Second), // free so soon after a crash
		lock.MaxHold(5*time.Second),
	)
	fmt.Println(err)
	locker, err := lock.New(memlock.New(),
		lock.LeaseTime(10*time.Second),
		lock.MaxWait(2*time.Second),
		lock.Observe(lock.Hooks{Lost: func(l lock.Loss) { fmt.Println("lost:", l.Reason) }}),
	)
	fmt.Println(err)
	fmt.Println(locker.Close())
	// Output:
	// lock: MaxHold 5s is shorter than LeaseTime 10s
	// <nil>
	// <nil>
}

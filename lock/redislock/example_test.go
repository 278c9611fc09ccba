package redislock_test

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/redislock"
)

func ExampleNew() {
	server, err := miniredis.Run() // stands in for a Redis
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	rdb := redis.NewClient(&redis.Options{
		Addr:                  server.Addr(),
		ContextTimeoutEnabled: true, // or a deadline does not end a call
	})
	defer func() { _ = rdb.Close() }()
	backend, err := redislock.New(rdb, redislock.Namespace("billing"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = backend.Close() }()
	locker, err := lock.New(backend)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = locker.Close() }()

	err = locker.Do(context.Background(), "invoices:2026-11", func(ctx context.Context) error {
		_, err := locker.TryLock(ctx, "invoices:2026-11")
		fmt.Println(err != nil, len(server.Keys()))
		return nil
	})
	fmt.Println(err)
	// Output:
	// true 1
	// <nil>
}

package quorumlock_test

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/quorumlock"
)

func ExampleNew() {
	var masters []redis.UniversalClient
	for range 5 {
		server, err := miniredis.Run() // stands in for a Redis of its own
		if err != nil {
			fmt.Println(err)
			return
		}
		defer server.Close()
		rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true, MaxRetries: -1})
		defer func() { _ = rdb.Close() }()
		masters = append(masters, rdb)
	}
	backend, err := quorumlock.New(masters)
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
		held, _ := lock.FromContext(ctx)
		fmt.Println(held.Held(), held.Token())
		return nil
	})
	fmt.Println(err)
	// Output:
	// true 0
	// <nil>
}

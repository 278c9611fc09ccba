package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
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
	records, err := redisstore.New(rdb, redisstore.Namespace("payments"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = records.Close() }()

	id := store.NewID("tenant-1", "POST /v1/payments", "a-key")
	claim := store.Claim{
		Owner:       store.NewOwner(),
		Fingerprint: store.Fingerprint{Algorithm: store.NoFingerprint},
		Scope:       store.NewScopeDigest("tenant-1"),
		Operation:   "POST /v1/payments",
		Lease:       30 * time.Second,
		Retention:   24 * time.Hour,
	}
	first, err := records.Apply(context.Background(), id, claim)
	fmt.Println(first.Verdict, first.Attempt, err)

	claim.Owner = store.NewOwner() // another request with the same key
	second, err := records.Apply(context.Background(), id, claim)
	fmt.Println(second.Verdict, second.Attempt, err)
	// Output:
	// claimed 1 <nil>
	// in progress 1 <nil>
}

func ExampleStore_Preflight() {
	server, err := miniredis.Run()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
	defer func() { _ = rdb.Close() }()
	records, err := redisstore.New(rdb)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = records.Close() }()

	findings, err := records.Preflight(context.Background())
	fmt.Println(err)
	for _, finding := range findings {
		fmt.Println(finding)
	}
	// Output:
	// <nil>
	// redisstore: could not be checked: INFO server is refused, so its redis_version is not known
	// redisstore: could not be checked: INFO replication is refused, so its role is not known
	// redisstore: could not be checked: CONFIG GET maxmemory-policy is refused; make sure that it is noeviction
}

// A claim counts once the only replica has it, too.
func ExampleMinReplicas() {
	rdb := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: "main", SentinelAddrs: []string{"127.0.0.1:26379"}, ContextTimeoutEnabled: true,
	})
	defer func() { _ = rdb.Close() }()
	records, err := redisstore.New(rdb, redisstore.MinReplicas(1, 200*time.Millisecond))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(records.Close())
	// Output: <nil>
}

// Nobody here retries for longer than ten minutes.
func ExampleMemoryGuard() {
	cluster := redis.NewClusterClient(&redis.ClusterOptions{ContextTimeoutEnabled: true})
	defer func() { _ = cluster.Close() }()
	_, err := redisstore.New(cluster, redisstore.MemoryGuard(10*time.Minute))
	fmt.Println(err)

	single := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379", ContextTimeoutEnabled: true})
	defer func() { _ = single.Close() }()
	records, err := redisstore.New(single, redisstore.MemoryGuard(10*time.Minute))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(records.Close())
	// Output:
	// redisstore: MemoryGuard needs a *redis.Client, of a single server or through Sentinel, not a *redis.ClusterClient: it watches one memory, and a cluster has one in each master
	// <nil>
}

// An operator has made sure that nothing was lost, or has settled what was.
func ExampleStore_Bless() {
	rdb := redis.NewClient(&redis.Options{
		Addr: "127.0.0.1:1", ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1, // nobody is there
	})
	defer func() { _ = rdb.Close() }()
	records, err := redisstore.New(rdb, redisstore.MemoryGuard(time.Hour))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = records.Close() }()

	err = records.Bless(context.Background())
	switch {
	case err == nil:
		fmt.Println("new claims are taken again")
	case errors.Is(err, store.ErrUnavailable):
		fmt.Println("redis does not answer; what it refuses stays refused")
	default:
		fmt.Println(err)
	}
	// Output: redis does not answer; what it refuses stays refused
}

// Package redislock keeps locks in Redis: a single server, a master behind
// Sentinel, or a Redis Cluster.
//
//	rdb := redis.NewClient(&redis.Options{
//		Addr:                  "127.0.0.1:6379",
//		ContextTimeoutEnabled: true, // or a deadline does not end a call
//	})
//	backend, err := redislock.New(rdb)
//	if err != nil {
//		return err
//	}
//	defer backend.Close()
//	locker, err := lock.New(backend)
//
// # What it promises
//
// Each call is one script on one key and one round trip; a script that the server
// does not know yet, as after its start or a failover, costs another. To a single
// server four round trips of claims and releases are under way at most: calls that
// come meanwhile share the next, in one pipeline, which is how many callers side by
// side cost little more than a few. Up to 128 renewals share one script, and on a
// cluster one pipeline for each node. Renewals have connections of their own, which
// busy requests cannot starve.
//
// Every script recognises its own earlier execution by the owner, because
// go-redis runs a script again by itself when a reply got lost. A release is still
// recognised when up to two others have held the lock since.
//
// Fencing tokens are the server's time in microseconds, and at least the previous
// token plus one while a record remains: of a lock that is held, for the time set
// by [Trace] after its release or lapse. They keep growing across a failover, as
// far as the servers' clocks agree.
//
// Those who wait are woken by a message, published only if somebody waits. All of
// a process share one connection for that, open only while somebody does.
//
// # What it does not promise
//
// A lock is as safe as the server keeps it. One that evicts keys, is restarted
// without its data, or fails over to a replica that had not received the last
// writes, forgets holders, who hear of that at their next renewal. Where no single
// failure may let two in at once, use the package quorumlock, or fence.
//
// A context's deadline bounds a call, if the client has ContextTimeoutEnabled.
// Cancelling a context does not interrupt a command that is on its way.
//
// # In Redis
//
// A lock is a string of 119 bytes named namespace:{digest}, where the digest is the
// key's SHA-256: keys themselves never reach Redis. Messages go over the channel
// of the same name. A user with narrowed rights needs those of reprise-lock in
// idempotency/docs/users.acl: keys and channels that begin with the namespace and a
// colon; the commands of the scripts, EVALSHA and EVAL; SUBSCRIBE, UNSUBSCRIBE and
// PING for those who wait, SELECT for another database than 0. On a cluster also
// CLUSTER SLOTS, COMMAND and ASKING.
//
// Set maxmemory-policy noeviction. [Backend.Preflight] looks at that, at the rights,
// and at what else there is to a server.
package redislock

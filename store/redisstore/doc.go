// Package redisstore keeps records in Redis: a single server, a master behind
// Sentinel, or a Redis Cluster.
//
//	rdb := redis.NewClient(&redis.Options{
//		Addr:                  "127.0.0.1:6379",
//		ContextTimeoutEnabled: true, // or a deadline does not end a call
//	})
//	records, err := redisstore.New(rdb)
//	if err != nil {
//		return err
//	}
//	defer records.Close()
//	findings, err := records.Preflight(ctx) // what is wrong with this Redis?
//
// # What it promises
//
// Every event is one script on one key and follows [store.Step] to the letter,
// by the server's clock. Every script recognises its own earlier execution by
// the owner, because go-redis runs a script again by itself when a reply got
// lost.
//
// Every event costs one round trip: a claim with its replay, a completion of
// any size, a mark, a failure, a release, and up to 128 renewals together. Two
// things add one: a script that the server does not know yet, which happens
// after its start and after a failover, and a large answer that could not be
// handed over in one piece (see [Stats]).
//
// Watches cost a subscription for each record that is watched, and none of the
// requests that wait a round trip: see [Store.Watch]. A look at a record
// ([Store.Inspect]) is one round trip and never brings its answer.
//
// Replays work on a server that is full or read-only. A full server refuses
// new claims, before any handler runs, and lets running attempts finish.
//
// A record that cannot be understood is [store.ErrUnreadable] and stays
// untouched. Whatever else is not a definite answer is [store.ErrUnavailable]
// with its cause; the event may or may not have been executed. Neither a key,
// nor a scope, nor anything of an answer appears in an error, and keys and
// scopes reach Redis as digests only.
//
// # What it does not promise
//
// A context's deadline bounds a call, if the client has ContextTimeoutEnabled.
// Cancelling a context does not interrupt a command that is on its way; no
// setting of go-redis does that.
//
// Records are as safe as the server keeps them. One that evicts keys, or is
// restarted without its data, or fails over to a replica that had not received
// the last writes, forgets claims and answers. [Store.Preflight] finds what can
// be found beforehand. Two options are for the rest:
//
//	                            what dies                      what a retry gets
//	neither                     a master, with its last writes it may run again
//	MinReplicas(all of them)    a master                       what is recorded, or that it runs
//	MemoryGuard(quarantine)     a master, or all memory        the same, or 503 until the quarantine is over
//
// [MinReplicas] waits for replicas before a handler starts, on a single server,
// through Sentinel and on a cluster. [MemoryGuard] does not wait for anything and
// refuses new claims once memory may be lost; not on a cluster. They can be
// combined.
//
// # In a hurry
//
// [AutoPipeline] lets calls of the same time share round trips, which is for
// processes that serve dozens of requests at once. [LocalCache] replays what was
// replayed before without any.
//
// # In Redis
//
// A record is a string named namespace:{digest}. When an attempt ends and
// somebody waits for that, the record's new state is published on the channel
// of the same name. For at most a minute there may also be
// namespace:{digest}:owner, a large answer on its way into its record.
//
// A user with narrowed rights needs those of reprise-store in
// idempotency/docs/users.acl: keys and channels that begin with the namespace and a
// colon; the commands of the scripts, EVALSHA and EVAL, which brings a script to a
// server that does not know it, and GET; SUBSCRIBE, UNSUBSCRIBE and PING for
// [Store.Watch], SCAN for [Store.List], SELECT for another database than 0. On a
// cluster also CLUSTER SLOTS, COMMAND and ASKING.
//
// [MinReplicas] adds +wait; [MemoryGuard] adds +info and the key namespace:guard.
package redisstore

// Package chaos runs the reference service as several processes on one Redis,
// breaks everything around it, and judges what its clients saw by the ledger of
// effects, which the service syncs to disk before an effect counts as done.
//
//	go run ./chaos/run -seed 7 -duration 30s -keys 6000 -servers 3 -orphan refuse
//
// Clients pay over HTTP and gRPC. Each key is sent in several copies at once, to
// servers at random, and again until there is an answer; some clients hang up
// early, some ask again for what they have been told. Meanwhile servers are
// killed at random moments and in the middle of a command to Redis, drained,
// stopped for longer than their leases, and cut off from Redis in both
// directions or one; replies get lost and cut; Redis stands still, is killed and
// comes back from its append-only file, and forgets its scripts. Then the faults
// stop, and every key is asked for once more.
//
// The judge knows only what clients were told, the ledger, and the servers'
// logs. The rules that it holds the library to are the constants of type [Rule].
// A run in which a fault happened less often than it should have fails as well:
// silence about nothing proves nothing.
//
// A seed decides what is sent and which faults come in which order. The machine
// decides how these meet, so a seed gives a similar run and not the same one;
// what a violation prints has the whole history of its key.
//
// Redis never loses here what it acknowledged. What the service promises when it
// does needs the guard against memory loss, and is not among the faults yet.
package chaos

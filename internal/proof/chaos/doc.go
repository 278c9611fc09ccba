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
// Now and then Redis forgets everything, by FLUSHALL or because it comes back
// without its file. The service runs with the guard against that: it refuses what
// it does not know until somebody blesses the memory, which happens when the
// clients of the old keys have given up and all servers are drained. Some of those
// keys are asked for in between, and none may run again.
//
// With -topology sentinel or cluster there are masters that are killed and
// replaced, and slots that move, under the same load and judge. The service waits
// there until a replica has what it wrote.
//
// The judge knows only what clients were told, the ledger, and the servers'
// logs. The rules that it holds the library to are the constants of type [Rule].
// A run in which a fault happened less often than it should have fails as well:
// silence about nothing proves nothing.
//
// A seed decides what is sent and which faults come in which order ([Config.Plan]).
// The machine decides how these meet, so a seed gives a similar run and not the
// same one; what a violation prints has the whole history of its key.
//
// Two settings are broken on purpose, and have to be caught: -orphan rerun, which
// runs marked effects again, and -guard=false.
//
// The tests of this package are runs of small size. The full size is six runs of
// this one, or longer ones:
//
//	DURATION=30s go test -run TestChaosFull -timeout 60m -v ./chaos
package chaos

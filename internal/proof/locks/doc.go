// Package locks holds benchmarks of lock/redislock and lock/quorumlock beside other
// Go locks on Redis: bsm/redislock, redsync and rueidislock. Compare within one run:
// absolute figures say more about the machine.
//
//	go test -run '^$' -bench . ./locks
package locks

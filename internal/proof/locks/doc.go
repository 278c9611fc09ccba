// Package locks holds benchmarks of lock/redislock and lock/quorumlock beside other
// Go locks on Redis: bsm/redislock, redsync and rueidislock, and beside a goroutine
// for each lease. They take turns within one run, and the ratios are reported, such
// as ×bsm: how many times as fast as bsm ours is, by the median of the rounds.
// Absolute figures say more about the machine.
//
//	go test -run '^$' -bench . -benchtime 11x ./locks
package locks

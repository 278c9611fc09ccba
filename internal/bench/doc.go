// Package bench compares what the library costs with what it is made of, and with
// other ways to do the same: all in one run, taking turns, so that what else the
// machine does disturbs all alike.
//
//	make bench BENCH=Replay                      # one table
//	cd internal/bench && go test -run '^$' -bench . -rounds 9
//
// A benchmark prints the median of each way in the form that benchstat reads, and
// at the end stands a table of ratios: how many times as fast as each baseline ours
// is, the median of the rounds' ratios. Ratios travel from machine to machine,
// absolute figures do not.
//
// The module is its own so that nobody who uses the library downloads what it is
// compared with.
package bench

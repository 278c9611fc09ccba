//go:build !race

package linearizability_test

// slowness is how much longer everything takes without the race detector.
const slowness = 1

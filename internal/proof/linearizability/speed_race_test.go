//go:build race

package linearizability_test

// slowness is how much longer everything takes with the race detector.
const slowness = 5

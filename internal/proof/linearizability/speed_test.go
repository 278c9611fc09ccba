//go:build !race

package linearizability_test

const (
	// slowness is how much longer everything takes without the race detector.
	slowness = 1
	// defaultOperations is how many operations a profile has.
	defaultOperations = 13_000
)

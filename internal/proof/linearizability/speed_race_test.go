//go:build race

package linearizability_test

const (
	// slowness is how much longer everything takes with the race detector.
	slowness = 3
	// defaultOperations is how many operations a profile has.
	defaultOperations = 8_000
)

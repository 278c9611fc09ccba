//go:build race

package simulation_test

// With the race detector, which is ten times slower.
const (
	// defaultSeeds is how many seeds a normal run has, and fullSeeds one of full
	// size.
	defaultSeeds = 6_000
	fullSeeds    = 100_000
)

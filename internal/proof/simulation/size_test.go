//go:build !race

package simulation_test

const (
	// defaultSeeds is how many seeds a normal run has, and fullSeeds one of full
	// size.
	defaultSeeds = 120_000
	fullSeeds    = 1_000_000
)

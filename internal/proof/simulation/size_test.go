//go:build !race

package simulation_test

// defaultSeeds is how many seeds a normal run has.
const defaultSeeds = 200_000

//go:build race

package simulation_test

// defaultSeeds is fewer with the race detector, which is ten times slower.
const defaultSeeds = 10_000

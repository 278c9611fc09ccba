//go:build race

package bubble_test

// defaultSeeds is fewer with the race detector, which is several times slower.
const defaultSeeds = 150

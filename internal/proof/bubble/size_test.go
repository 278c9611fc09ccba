//go:build !race

package bubble_test

// defaultSeeds is how many seeds a normal run has, for each transport.
const defaultSeeds = 1000

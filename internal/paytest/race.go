//go:build race

package paytest

// raceEnabled: the test looks for data races, so its services do.
const raceEnabled = true

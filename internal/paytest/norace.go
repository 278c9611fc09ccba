//go:build !race

package paytest

// raceEnabled: see race.go.
const raceEnabled = false

//go:build !race

package conformance_test

// foreignSamples is how often each kind of key is asked for.
const foreignSamples = 5000

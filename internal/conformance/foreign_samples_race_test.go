//go:build race

package conformance_test

// foreignSamples is how often each kind of key is asked for: less often where each
// takes longer.
const foreignSamples = 600

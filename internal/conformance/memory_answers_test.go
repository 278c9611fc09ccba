//go:build !race

package conformance_test

// largeAnswers is how many answers of 10 MiB are sent.
const largeAnswers = 1000

//go:build race

package conformance_test

// largeAnswers is how many answers of 10 MiB are sent: fewer where each takes
// longer.
const largeAnswers = 100

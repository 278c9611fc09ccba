//go:build race

package memstore_test

// flood is how many keys come at once: fewer where each takes longer.
const flood = 150_000

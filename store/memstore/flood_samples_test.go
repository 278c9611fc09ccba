//go:build !race

package memstore_test

// flood is how many keys come at once.
const flood = 1_000_000

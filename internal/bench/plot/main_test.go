package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const output = `goos: linux
BenchmarkReplay/1024B/1callers/plain-2         1   60000 ns/op   39023 cpu-ns/op
BenchmarkReplay/1024B/1callers/GET-2           1   40000 ns/op   24707 cpu-ns/op
BenchmarkReplay/1024B/64callers/plain-2        1   18000 ns/op
BenchmarkReplay/1024B/64callers/GET-2          1    6000 ns/op
BenchmarkReplay/1024B/64callers/one_key-2      1    5000 ns/op
BenchmarkFirst/1048576B/64callers/plain-2      1   90000 ns/op
BenchmarkFirst/1024B/64callers/plain           1   48000.5 ns/op
# Replay/1024B/1callers    0.66 × GET
`

func TestCostsAreReadInTimesOfAGet(t *testing.T) {
	t.Parallel()
	costs, err := read(strings.NewReader(output))
	require.NoError(t, err)
	assert.InDeltaMapValues(t, map[place]float64{
		{"replay", 1 << 10, 1}: 1.5, {"replay", 1 << 10, 64}: 3, {"first execution", 1 << 10, 64}: 8,
	}, costs, 0.01)
}

func TestPlotShowsEachCase(t *testing.T) {
	t.Parallel()
	var svg strings.Builder
	require.NoError(t, run(strings.NewReader(output), &svg))
	for _, word := range []string{"<svg", "replay", "first execution", "times a bare GET", "callers", "bytes of body"} {
		assert.Contains(t, svg.String(), word)
	}
}

func TestInputWithoutResultsIsAnError(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, run(strings.NewReader("PASS\n"), &strings.Builder{}), "no results")
}

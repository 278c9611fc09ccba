package simulation_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/proof/simulation"
)

// Environment variables of this package's tests.
const (
	proofEnv = "REPRISE_PROOF"            // "full" for the full size
	seedsEnv = "SEEDS"                    // another size: how many seeds the run has
	seedEnv  = "SEED"                     // run this one only, and show what happens
	shardEnv = "REPRISE_SIMULATION_SHARD" // first seed and count, set for child processes
)

// The least number of times that each fault must have come, and that each
// consequence must have been seen, as one part in so many of the seeds.
const (
	faultFloor = 100
	floor      = 400
)

// A run in which nothing goes wrong must be one in which everything happened.
func TestSimulationOfManySeedsBreaksNoRule(t *testing.T) {
	if seed := os.Getenv(seedEnv); seed != "" {
		show(t, number(t, seed))
		return
	}
	if shard := os.Getenv(shardEnv); shard != "" {
		runShard(t, shard)
		return
	}
	seeds := defaultSeeds
	if os.Getenv(proofEnv) == "full" {
		seeds = fullSeeds
	}
	if testing.Short() {
		seeds = min(seeds, 10_000)
	}
	if n := os.Getenv(seedsEnv); n != "" {
		seeds = int(number(t, n))
	}
	began := time.Now()
	tally := runShards(t, seeds)
	t.Logf("%d seeds in %v\n%v", seeds, time.Since(began).Round(time.Millisecond), &tally)
	assert.Empty(t, tally.Rare(max(1, seeds/faultFloor), max(1, seeds/floor)), "these happened too seldom to prove anything")
}

// The same seed gives the same world, to the nanosecond, so that a failure can
// be looked at again.
func TestSeedGivesTheSameWorldEveryTime(t *testing.T) {
	for seed := range uint64(1000) {
		first, second := runSeed(t, seed, simulation.Core{}), runSeed(t, seed, simulation.Core{})
		if first.Hash != second.Hash {
			require.Equal(t, first.Trace(), second.Trace(), "seed %d", seed)
			require.Fail(t, "the traces are equal and their hashes differ")
		}
	}
}

func runSeed(t *testing.T, seed uint64, core simulation.Core) (out simulation.Outcome) {
	t.Helper()
	ended := false
	defer func() {
		if !ended { // a panic, or goroutines that wait for each other
			fmt.Fprintf(os.Stderr, "seed %d did not end; repeat it with %s=%d\n", seed, seedEnv, seed)
		}
	}()
	synctest.Test(t, func(*testing.T) { out = simulation.Run(seed, core) })
	ended = true
	return out
}

func show(t *testing.T, seed uint64) {
	t.Helper()
	out := runSeed(t, seed, simulation.Core{})
	t.Logf("seed %d\n%s", seed, out.Trace())
	assert.Empty(t, out.Violations)
}

// shards is how many processes share the seeds. Two processes of one thread
// each do more than one process of two, and stay repeatable.
const shards = 2

// runShards runs this test in processes of its own.
func runShards(t *testing.T, seeds int) simulation.Tally {
	t.Helper()
	outputs := make([]bytes.Buffer, shards)
	children := make([]*exec.Cmd, shards)
	for i := range children {
		first, end := seeds*i/shards, seeds*(i+1)/shards
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		child.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=400", fmt.Sprintf("%s=%d-%d", shardEnv, first, end))
		child.Stdout, child.Stderr = &outputs[i], &outputs[i]
		require.NoError(t, child.Start())
		children[i] = child
	}
	var sum simulation.Tally
	for i, child := range children {
		if err := child.Wait(); err != nil {
			t.Errorf("process %d: %v\n%s", i, err, outputs[i].String())
			continue
		}
		sum.Add(readTally(t, outputs[i].Bytes()))
	}
	return sum
}

// tallyMark begins the line that a child process reports its tally in.
const tallyMark = "tally: "

func readTally(t *testing.T, output []byte) (tally simulation.Tally) {
	t.Helper()
	for line := range bytes.Lines(output) {
		if data, ok := bytes.CutPrefix(line, []byte(tallyMark)); ok {
			require.NoError(t, json.Unmarshal(data, &tally))
			return tally
		}
	}
	require.Fail(t, "a process reported nothing", "%s", output)
	return tally
}

// maxFailures is where a run stops: more of the same tell nothing new.
const maxFailures = 3

func runShard(t *testing.T, shard string) {
	t.Helper()
	var first, end uint64
	_, err := fmt.Sscanf(shard, "%d-%d", &first, &end)
	require.NoError(t, err)
	var tally simulation.Tally
	failures := 0
	for seed := first; seed < end && failures < maxFailures; seed++ {
		out := runSeed(t, seed, simulation.Core{})
		tally.Add(out.Tally)
		if len(out.Violations) > 0 {
			failures++
			t.Errorf("seed %d (repeat it with %s=%d): %v\n%s", seed, seedEnv, seed, out.Violations, out.Trace())
		}
	}
	report, err := json.Marshal(tally)
	require.NoError(t, err)
	fmt.Printf("\n%s%s\n", tallyMark, report)
}

func number(t *testing.T, text string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err)
	return n
}

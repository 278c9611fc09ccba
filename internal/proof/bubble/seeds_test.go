package bubble_test

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

	"github.com/reprise-go/reprise/internal/proof/bubble"
)

// Environment variables of this package's tests.
const (
	proofEnv = "REPRISE_PROOF"        // "full" for the full size
	seedsEnv = "BUBBLE_SEEDS"         // how many seeds the normal run has, for each transport
	seedEnv  = "BUBBLE_SEED"          // run this one only, and show what happens
	shardEnv = "REPRISE_BUBBLE_SHARD" // first seed and count, set for child processes
)

// fullSeeds is how many the full size has, for each transport.
const fullSeeds = 20_000

// floor is the least number of times that anything must have happened, as one part
// in so many of the seeds.
const floor = 40

// A run in which nothing goes wrong must be one in which everything happened.
func TestScenariosOverHTTPBreakNoRule(t *testing.T) { runSeeds(t, bubble.HTTP{}) }

// The same over gRPC.
func TestScenariosOverGRPCBreakNoRule(t *testing.T) { runSeeds(t, bubble.GRPC{}) }

// Each of these seeds once broke a rule.
func TestSeedsThatFoundSomething(t *testing.T) {
	tests := []struct {
		name      string
		transport bubble.Transport
		seed      uint64
	}{
		// The reply to a mark was taken for that to the completion after it, and
		// an answer given as recorded that was not.
		{"F44 an owner's own earlier reply", bubble.HTTP{}, 1185},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out := runSeed(t, test.seed, test.transport, bubble.Core{})
			assert.Empty(t, out.Violations, "%s", out.Trace())
		})
	}
}

func runSeeds(t *testing.T, transport bubble.Transport) {
	t.Helper()
	if seed := os.Getenv(seedEnv); seed != "" {
		show(t, number(t, seed), transport)
		return
	}
	if shard := os.Getenv(shardEnv); shard != "" {
		runShard(t, shard, transport)
		return
	}
	seeds := defaultSeeds
	if os.Getenv(proofEnv) == "full" {
		seeds = fullSeeds
	}
	if n := os.Getenv(seedsEnv); n != "" {
		seeds = int(number(t, n))
	}
	began := time.Now()
	tally := runShards(t, seeds)
	t.Logf("%d seeds in %v\n%v", seeds, time.Since(began).Round(time.Millisecond), &tally)
	assert.Empty(t, tally.Below(max(1, seeds/floor)), "these happened too seldom to prove anything")
}

func runSeed(t *testing.T, seed uint64, transport bubble.Transport, core bubble.Core) (out bubble.Outcome) {
	t.Helper()
	ended := false
	defer func() {
		if !ended { // a panic, or goroutines that wait for each other
			fmt.Fprintf(os.Stderr, "seed %d of %T did not end; repeat it with %s=%d\n", seed, transport, seedEnv, seed)
		}
	}()
	synctest.Test(t, func(*testing.T) { out = bubble.Run(seed, transport, core) })
	ended = true
	return out
}

func show(t *testing.T, seed uint64, transport bubble.Transport) {
	t.Helper()
	out := runSeed(t, seed, transport, bubble.Core{})
	t.Logf("seed %d\n%s", seed, out.Trace())
	assert.Empty(t, out.Violations)
}

// shards is how many processes share the seeds. Two processes of one thread each do
// more than one process of two.
const shards = 2

// runShards runs this test in processes of its own.
func runShards(t *testing.T, seeds int) bubble.Tally {
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
	var sum bubble.Tally
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

func readTally(t *testing.T, output []byte) (tally bubble.Tally) {
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

func runShard(t *testing.T, shard string, transport bubble.Transport) {
	t.Helper()
	var first, end uint64
	_, err := fmt.Sscanf(shard, "%d-%d", &first, &end)
	require.NoError(t, err)
	var tally bubble.Tally
	failures := 0
	for seed := first; seed < end && failures < maxFailures; seed++ {
		out := runSeed(t, seed, transport, bubble.Core{})
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

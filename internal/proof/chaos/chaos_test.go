package chaos_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/proof/chaos"
)

// durationEnv asks for runs of full size, each with this much time for faults.
const durationEnv = "DURATION"

// small is a run for every day, also beside others on a busy machine, on which
// each kill leaves more outcomes unknown.
func small() chaos.Config {
	cfg := chaos.Full()
	cfg.Duration, cfg.Keys, cfg.Minimum = 6*time.Second, 1200, 3
	cfg.Density = 0.6
	return cfg
}

// rows names what a fault stands for.
func rows(f chaos.Fault) string {
	switch f {
	case chaos.Kill:
		return "F03 F06 killed at random moments"
	case chaos.KillBefore:
		return "F01 F04 killed before a claim, before a record"
	case chaos.KillAfter:
		return "F02 F05 killed after a claim, after a record"
	case chaos.Drain:
		return "F10 drained"
	case chaos.Pause:
		return "F07 F08 F09 stopped beyond the lease"
	case chaos.Partition:
		return "F21 cut off from Redis"
	case chaos.OneWay:
		return "F22 replies dropped"
	case chaos.LostReply:
		return "F23 F24 F25 F26 replies lost"
	case chaos.CutReply:
		return "F27 replies cut"
	case chaos.RedisPause:
		return "F13 Redis stands still"
	case chaos.RedisKill:
		return "F11 Redis killed"
	case chaos.ScriptFlush:
		return "F37 scripts forgotten"
	case chaos.MemoryLoss:
		return "F12 F14 everything forgotten, with the guard"
	case chaos.Failover:
		return "F15 a master killed"
	case chaos.SlotMove:
		return "F18 a slot moved"
	case chaos.HangUp:
		return "F51 clients hang up"
	}
	return string(f)
}

func TestChaos(t *testing.T) {
	for _, test := range []struct {
		orphan idempotency.Orphan
		wait   time.Duration
	}{
		{idempotency.OrphanRefuse, 0},
		{idempotency.OrphanRerunUnmarked, 100 * time.Millisecond},
	} {
		t.Run(string(test.orphan), func(t *testing.T) {
			cfg := small()
			cfg.Orphan, cfg.Wait = test.orphan, test.wait
			judge(t, chaos.Run(t, &payments, cfg))
		})
	}
}

func TestChaosOnTopologies(t *testing.T) {
	for topology, orphan := range map[chaos.Topology]idempotency.Orphan{
		chaos.Sentinel: idempotency.OrphanRerunUnmarked,
		chaos.Cluster:  idempotency.OrphanRefuse,
	} {
		t.Run(string(topology), func(t *testing.T) {
			t.Parallel()
			cfg := small()
			cfg.Topology, cfg.Orphan = topology, orphan
			cfg.Duration, cfg.Keys, cfg.Minimum = 4*time.Second, 600, 1
			cfg.Faults = chaos.AllFaults(topology)
			judge(t, chaos.Run(t, &payments, cfg))
		})
	}
}

// TestChaosFull is for `DURATION=30s go test -run TestChaosFull`.
func TestChaosFull(t *testing.T) {
	text := os.Getenv(durationEnv)
	if text == "" {
		t.Skipf("%s says how long each of the six runs of full size has faults, such as 30s", durationEnv)
	}
	duration, err := time.ParseDuration(text)
	require.NoError(t, err)
	seen := make(map[chaos.Fault]int)
	keys, answered, kills := 0, 0, 0
	for seed := range uint64(3) {
		for _, orphan := range []idempotency.Orphan{idempotency.OrphanRefuse, idempotency.OrphanRerunUnmarked} {
			t.Run(fmt.Sprintf("seed %d %s", seed, orphan), func(t *testing.T) {
				cfg := chaos.Full()
				cfg.Keys = int(float64(cfg.Keys) * duration.Seconds() / cfg.Duration.Seconds())
				cfg.Seed, cfg.Orphan, cfg.Duration = seed, orphan, duration
				cfg.Wait = time.Duration(seed) * 100 * time.Millisecond
				report := chaos.Run(t, &payments, cfg)
				judge(t, report)
				for fault, n := range report.Faults {
					seen[fault] += n
				}
				keys += len(report.History.Stories)
				answered += report.Answered
				kills += report.Killed()
			})
		}
	}
	t.Logf("%d keys, %d of them answered, %d kills, %v", keys, answered, kills, seen)
	assert.GreaterOrEqual(t, float64(answered), 0.95*float64(keys), "with those refused after a loss of memory")
	for _, fault := range chaos.AllFaults(chaos.Single) {
		assert.GreaterOrEqual(t, seen[fault], 10, "%s in all runs", fault)
	}
}

// judge has a test for each rule, and one for each fault.
func judge(t *testing.T, report *chaos.Report) {
	t.Helper()
	var table strings.Builder
	report.Print(&table)
	t.Logf("\n%s", &table)
	for _, rule := range chaos.Rules() {
		t.Run(string(rule), func(t *testing.T) { assert.Zero(t, report.Broken(rule), "see the table") })
	}
	for _, fault := range report.Config.Faults {
		t.Run(rows(fault), func(t *testing.T) { assert.Positive(t, report.Faults[fault]) })
	}
	assert.Empty(t, report.TooLittle)
}

// A service that runs again whatever has been marked is a broken core here: the
// judge has to see it charge twice, or its silence about others means nothing.
func TestJudgeCatchesAServiceThatRunsMarkedEffectsAgain(t *testing.T) {
	cfg := small()
	cfg.Orphan = idempotency.OrphanRerun
	cfg.Duration, cfg.Keys, cfg.Minimum = 4*time.Second, 800, 6
	cfg.Faults = []chaos.Fault{chaos.KillBefore, chaos.Pause}
	report := chaos.Run(t, &payments, cfg)
	require.Positive(t, report.Broken(chaos.OneEffect))
	assert.False(t, report.OK())

	var table strings.Builder
	report.Print(&table)
	assert.Contains(t, table.String(), "BROKEN")
	assert.Regexp(t, `(?m)^history of key \d+ .*\n(.*\n)*?  ledger .*\n  ledger .*$`, table.String(), "both effects are shown")
}

// Without the guard a Redis that has forgotten everything lets everything run
// again.
func TestJudgeCatchesALossOfMemoryWithoutTheGuard(t *testing.T) {
	cfg := small()
	cfg.Guard = false
	cfg.Duration, cfg.Keys, cfg.Minimum = 2*time.Second, 400, 10
	cfg.Faults = []chaos.Fault{chaos.MemoryLoss}
	report := chaos.Run(t, &payments, cfg)
	assert.Equal(t, 2, report.Faults[chaos.MemoryLoss])
	assert.Positive(t, report.Broken(chaos.OneEffect))
	assert.Positive(t, report.Broken(chaos.OneAnswer))
	assert.False(t, report.OK())
}

// Without faults there is an answer for everybody, which is what faults take away.
func TestWithoutFaultsEveryKeyIsAnsweredAndTooLittleIsSeen(t *testing.T) {
	cfg := small()
	cfg.Duration, cfg.Keys, cfg.Faults = time.Second, 200, nil
	cfg.Lease = time.Minute // a busy machine is no fault either
	report := chaos.Run(t, &payments, cfg)
	assert.True(t, report.OK(), "%+v", report.Violations)
	assert.Equal(t, len(report.History.Stories), report.Answered)
	assert.Zero(t, report.Codes[" (connection lost)"])
	assert.Positive(t, report.Codes["replayed 201"])
	assert.Positive(t, report.Codes["replayed OK"])

	cfg.Faults, cfg.Lease = []chaos.Fault{chaos.HangUp}, time.Second
	cfg.Minimum = 100_000
	report = chaos.Run(t, &payments, cfg)
	assert.Empty(t, report.Violations)
	assert.False(t, report.OK(), "so few clients hung up")
	assert.Len(t, report.TooLittle, 1)
}

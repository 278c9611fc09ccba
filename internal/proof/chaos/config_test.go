package chaos_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/proof/chaos"
)

func TestParseFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		list     string
		topology chaos.Topology
		want     []chaos.Fault
	}{
		{"all", chaos.Single, chaos.AllFaults(chaos.Single)},
		{"all", chaos.Cluster, chaos.AllFaults(chaos.Cluster)},
		{"none", chaos.Single, nil},
		{"", chaos.Single, nil},
		{"pause,redis-kill", chaos.Single, []chaos.Fault{chaos.Pause, chaos.RedisKill}},
		{"failover", chaos.Sentinel, []chaos.Fault{chaos.Failover}},
	} {
		got, err := chaos.ParseFaults(test.list, test.topology)
		require.NoError(t, err, test.list)
		assert.Equal(t, test.want, got, test.list)
	}
	_, err := chaos.ParseFaults("kill,flood", chaos.Single)
	require.ErrorContains(t, err, `"flood"`)
	_, err = chaos.ParseFaults("slot-move", chaos.Sentinel)
	assert.ErrorContains(t, err, `"slot-move"`)
}

func TestConfigurationThatCannotBeFailsTheTestByName(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		change func(c *chaos.Config)
		says   string
	}{
		{func(c *chaos.Config) { c.Duration = 0 }, "Duration 0s"},
		{func(c *chaos.Config) { c.Keys = 0 }, "Keys 0"},
		{func(c *chaos.Config) { c.Servers = -1 }, "Servers -1"},
		{func(c *chaos.Config) { c.Wait = -time.Second }, "Wait -1s"},
		{func(c *chaos.Config) { c.Topology, c.Faults = "ring", nil }, `Topology "ring"`},
		{func(c *chaos.Config) { c.Faults = []chaos.Fault{chaos.SlotMove} }, "slot-move does not befall"},
	} {
		cfg := chaos.Full()
		test.change(&cfg)
		r := &recorder{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			chaos.Run(r, &payments, cfg)
		}()
		<-done
		assert.Contains(t, r.said.String(), test.says)
	}
}

func TestSeedDecidesWhichFaultsComeInWhichOrder(t *testing.T) {
	t.Parallel()
	for _, topology := range chaos.Topologies() {
		cfg := chaos.Full()
		cfg.Topology, cfg.Faults = topology, chaos.AllFaults(topology)
		plan := cfg.Plan()
		assert.Equal(t, plan, cfg.Plan(), topology)
		cfg.Seed++
		assert.NotEqual(t, plan, cfg.Plan(), topology)
	}
}

func TestPlanHasEachFaultAsOftenAsItHasToHappen(t *testing.T) {
	t.Parallel()
	cfg := chaos.Full()
	cfg.Minimum = 30
	count := make(map[chaos.Fault]int)
	for _, lane := range cfg.Plan() {
		at := 0.0
		for _, s := range lane {
			assert.Equal(t, count[s.Fault], s.Number)
			count[s.Fault]++
			assert.Greater(t, s.At, at)
			assert.Less(t, s.At, 1.0)
			at = s.At
		}
	}
	for _, f := range cfg.Faults {
		switch f {
		case chaos.LostReply, chaos.CutReply, chaos.HangUp: // a share, and in no plan
		case chaos.MemoryLoss:
			assert.Equal(t, 6, count[f])
		default:
			assert.GreaterOrEqual(t, count[f], 30, f)
		}
	}
}

func TestLossesOfMemoryAreKeptApart(t *testing.T) {
	t.Parallel()
	cfg := chaos.Full()
	for cfg.Seed = range 20 {
		last := 0.0
		for _, s := range cfg.Plan()[1] {
			if s.Fault == chaos.MemoryLoss {
				assert.Greater(t, s.At-last, 0.1, "seed %d", cfg.Seed)
				last = s.At
			}
		}
		assert.Positive(t, last)
	}
}

// recorder is a test that can be failed without failing this one.
type recorder struct {
	testing.TB

	said strings.Builder
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	fmt.Fprintf(&r.said, format, args...)
	runtime.Goexit()
}

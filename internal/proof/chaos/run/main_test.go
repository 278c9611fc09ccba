package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/paytest"
	"github.com/reprise-go/reprise/internal/proof/chaos"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFlagsSayWhatARunIsLike(t *testing.T) {
	t.Parallel()
	cfg, err := parse(nil, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, chaos.Full(), cfg)

	cfg, err = parse([]string{
		"-seed", "7", "-duration", "2s", "-keys", "5", "-servers", "2", "-orphan", "rerun", "-faults", "kill,pause",
		"-lease", "1s", "-wait", "3s", "-density", "0.5", "-minimum", "4",
		"-guard=false",
	}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, chaos.Config{
		Seed: 7, Duration: 2 * time.Second, Keys: 5, Servers: 2, Orphan: idempotency.OrphanRerun,
		Faults:   []chaos.Fault{chaos.Kill, chaos.Pause},
		Topology: chaos.Single, Lease: time.Second, Wait: 3 * time.Second, Density: 0.5, Minimum: 4,
	}, cfg)

	cfg, err = parse([]string{"-topology", "cluster"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, chaos.Cluster, cfg.Topology)
	assert.Equal(t, chaos.AllFaults(chaos.Cluster), cfg.Faults)

	for _, args := range [][]string{{"-faults", "flood"}, {"-topology", "sentinel", "-faults", "partition"}, {"-seed", "x"}, {"-flood"}, {"extra"}} {
		_, err := parse(args, io.Discard)
		assert.Error(t, err, args)
	}
}

func TestProgramSaysByItsStatusWhatItSaw(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		minimum int
		status  int
		says    string
	}{
		{"nothing wrong", 0, 0, "I1 one effect                              ok"},
		{"too little", 100_000, 1, "SAW TOO LITTLE"},
	} {
		cfg := chaos.Full()
		cfg.Duration, cfg.Keys, cfg.Minimum = 500*time.Millisecond, 100, test.minimum
		cfg.Faults = []chaos.Fault{chaos.HangUp}
		var program paytest.Binary
		var out strings.Builder
		status := program.Main(&attempt{ctx: t.Context(), program: &program, cfg: cfg, out: &out}).Run()
		assert.Equal(t, test.status, status, test.name)
		assert.Contains(t, out.String(), test.says, test.name)
	}
}

func TestHandFailsAndCleansUpLikeATest(t *testing.T) {
	t.Parallel()
	h := &hand{ctx: t.Context(), complaints: io.Discard}
	var order []string
	h.do(func() {
		h.Cleanup(func() { order = append(order, "first") })
		h.Cleanup(func() { order = append(order, "second") })
		assert.DirExists(t, h.TempDir())
		h.Fatalf("enough of %s", "this")
		order = append(order, "went on")
	})
	assert.Equal(t, []string{"second", "first"}, order)
	assert.True(t, h.Failed())
}

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
		list string
		want []chaos.Fault
	}{
		{"all", chaos.AllFaults()},
		{"none", nil},
		{"", nil},
		{"pause,redis-kill", []chaos.Fault{chaos.Pause, chaos.RedisKill}},
	} {
		got, err := chaos.ParseFaults(test.list)
		require.NoError(t, err, test.list)
		assert.Equal(t, test.want, got, test.list)
	}
	_, err := chaos.ParseFaults("kill,flood")
	assert.ErrorContains(t, err, `"flood"`)
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

package chaos

import (
	"fmt"
	"slices"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// fullSize is how long a run of full size lasts.
const fullSize = 30 * time.Second

// leaseByDefault is short, so that there is time for many pauses that are longer.
const leaseByDefault = 500 * time.Millisecond

// Config says what a run is like.
type Config struct {
	// Seed decides what is sent, and the order of the faults.
	Seed uint64
	// Keys is how many keys begin, at least, while there are faults. The run ends
	// with a look at each.
	Keys int
	// Duration is for how long there are faults on a machine that can take that
	// many keys. On others keys and faults take more time, both in proportion.
	Duration time.Duration
	// Servers is how many there are at any time.
	Servers int
	// Topology is that of Redis, [Single] if "".
	Topology Topology
	// Guard has the service watch for a loss of Redis' memory, and refuse keys that
	// are new until the memory has been blessed. Without it, and with [MemoryLoss],
	// violations are to be expected. A cluster has none.
	Guard bool
	// Orphan is the service's rule for attempts that died. With
	// [idempotency.OrphanRerun] violations are to be expected.
	Orphan idempotency.Orphan
	// Lease is the service's, 500 ms if 0.
	Lease time.Duration
	// Wait is how long duplicates wait for the first; 0: not at all. Those who
	// wait may be told for a moment more that it is running when it has ended.
	Wait time.Duration
	// Faults are those that happen.
	Faults []Fault
	// Density is how many of the faults there are, for their time: 1 if 0.
	Density float64
	// Minimum is how often each of them has to happen. A fifth of that is enough for
	// those after which nobody can work for seconds: [MemoryLoss], [Failover] and
	// [SlotMove].
	Minimum int
}

// Full returns a run of full size.
func Full() Config {
	return Config{
		Seed:     1,
		Duration: fullSize,
		Keys:     6000,
		Servers:  3,
		Topology: Single,
		Guard:    true,
		Orphan:   idempotency.OrphanRefuse,
		Lease:    leaseByDefault,
		Faults:   AllFaults(Single),
		Density:  1,
		Minimum:  10,
	}
}

// complete fills in what was left out, and returns an error that names what
// cannot be.
func (c *Config) complete() error {
	if c.Lease == 0 {
		c.Lease = leaseByDefault
	}
	if c.Density == 0 {
		c.Density = 1
	}
	if c.Topology == "" {
		c.Topology = Single
	}
	for _, f := range c.Faults {
		if !slices.Contains(AllFaults(c.Topology), f) {
			return fmt.Errorf("Faults: %s does not befall a Redis of topology %q", f, c.Topology)
		}
	}
	switch {
	case !slices.Contains(Topologies(), c.Topology):
		return fmt.Errorf("Topology %q is none of %v", c.Topology, Topologies())
	case c.Duration <= 0:
		return fmt.Errorf("Duration %v: there is no time for anything", c.Duration)
	case c.Keys < 1:
		return fmt.Errorf("Keys %d: there is nothing to send", c.Keys)
	case c.Servers < 1:
		return fmt.Errorf("Servers %d: there is nobody to send to", c.Servers)
	case c.Lease < 0, c.Wait < 0, c.Density < 0, c.Minimum < 0:
		return fmt.Errorf("Lease %v, Wait %v, Density %v, Minimum %d: less than nothing", c.Lease, c.Wait, c.Density, c.Minimum)
	}
	return nil
}

func (c *Config) has(f Fault) bool { return slices.Contains(c.Faults, f) }

// times is how often a fault is planned.
func (c *Config) times(f Fault) int {
	if !c.has(f) {
		return 0
	}
	planned := float64(f.perRun()) * c.Density * c.Duration.Seconds() / fullSize.Seconds()
	return max(int(planned+0.5), c.minimum(f))
}

// minimum is how often a fault has to happen.
func (c *Config) minimum(f Fault) int {
	switch f {
	case MemoryLoss, Failover, SlotMove:
		return (c.Minimum + 4) / 5
	}
	return c.Minimum
}

// guarded says that there is somebody to bless a memory for.
func (c *Config) guarded() bool { return c.Guard && c.Topology != Cluster }

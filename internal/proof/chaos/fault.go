package chaos

import (
	"fmt"
	"slices"
	"strings"
)

// Fault is a kind of trouble.
type Fault string

// The faults.
const (
	// Kill ends a server at a random moment (SIGKILL). A new one takes its place
	// at once, as it does after each of these.
	Kill Fault = "kill"
	// KillBefore ends a server as it sends a command, which is never executed:
	// before a claim, before a mark, or between the effect and its record.
	KillBefore Fault = "kill-before"
	// KillAfter ends a server when its command has been executed, before it reads
	// the reply: after a claim, a mark, or a record, and before its answer.
	KillAfter Fault = "kill-after"
	// Drain ends a server in an orderly way (SIGTERM).
	Drain Fault = "drain"
	// Pause stops a server for longer than its leases (SIGSTOP).
	Pause Fault = "pause"
	// Partition cuts one server off from Redis for longer than its leases.
	Partition Fault = "partition"
	// OneWay lets a server's commands through, and no replies.
	OneWay Fault = "one-way"
	// LostReply loses the reply to a command, with its connection.
	LostReply Fault = "lost-reply"
	// CutReply loses the second half of one.
	CutReply Fault = "cut-reply"
	// RedisPause stops Redis, now and then for longer than a lease (SIGSTOP).
	RedisPause Fault = "redis-pause"
	// RedisKill ends Redis (SIGKILL). It comes back with what it acknowledged.
	RedisKill Fault = "redis-kill"
	// ScriptFlush makes Redis forget all scripts.
	ScriptFlush Fault = "script-flush"
	// HangUp is a client that leaves before its answer.
	HangUp Fault = "hang-up"
)

// AllFaults returns every kind.
func AllFaults() []Fault {
	return slices.Concat(kills(), outages(), redisFaults(), []Fault{LostReply, CutReply, HangUp})
}

// kills befall a server at random, one after the other.
func kills() []Fault { return []Fault{Kill, KillBefore, KillAfter} }

// outages befall a server at random, one after the other.
func outages() []Fault { return []Fault{Drain, Pause, Partition, OneWay} }

// redisFaults befall Redis, one after the other.
func redisFaults() []Fault { return []Fault{RedisPause, RedisKill, ScriptFlush} }

// perRun is how often a fault is to happen in a run of full size, which lasts
// fullSize. Those that are not named here happen to a share of all commands or
// requests.
func (f Fault) perRun() int {
	switch f {
	case Kill:
		return 16
	case KillBefore, KillAfter:
		return 12
	case ScriptFlush:
		return 30
	default:
		return 12
	}
}

// ParseFaults reads names with commas between them. "all" is all of them, "none"
// or nothing is none.
func ParseFaults(list string) ([]Fault, error) {
	switch list {
	case "all":
		return AllFaults(), nil
	case "", "none":
		return nil, nil
	}
	known := make(map[Fault]bool)
	for _, f := range AllFaults() {
		known[f] = true
	}
	var faults []Fault
	for name := range strings.SplitSeq(list, ",") {
		if !known[Fault(name)] {
			return nil, fmt.Errorf("unknown fault %q; there are %v", name, AllFaults())
		}
		faults = append(faults, Fault(name))
	}
	return faults, nil
}

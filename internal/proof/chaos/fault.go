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
	// MemoryLoss makes Redis forget everything: by FLUSHALL, or because it is killed
	// and comes back empty.
	MemoryLoss Fault = "memory-loss"
	// Failover ends a master (SIGKILL), which a replica replaces. It comes back as a
	// replica.
	Failover Fault = "failover"
	// SlotMove takes a slot with a record in it to another master of a cluster.
	SlotMove Fault = "slot-move"
	// HangUp is a client that leaves before its answer.
	HangUp Fault = "hang-up"
)

// Topology is how many servers Redis has, and who watches them.
type Topology string

// The topologies.
const (
	// Single is one server with an append-only file.
	Single Topology = "single"
	// Sentinel is a master with two replicas and three sentinels. The service waits
	// until one replica has what it wrote.
	Sentinel Topology = "sentinel"
	// Cluster is three masters with a replica each, for which the service waits.
	Cluster Topology = "cluster"
)

// Topologies returns all of them.
func Topologies() []Topology { return []Topology{Single, Sentinel, Cluster} }

// AllFaults returns every kind that there is with a topology. What befalls a line
// to Redis is for a single server, since the others say where they are found.
func AllFaults(topology Topology) []Fault {
	switch topology {
	case Sentinel:
		return []Fault{Kill, Drain, Pause, ScriptFlush, Failover, HangUp}
	case Cluster:
		return []Fault{Kill, Drain, Pause, ScriptFlush, Failover, SlotMove, HangUp}
	}
	return []Fault{
		Kill, KillBefore, KillAfter, Drain, Pause, Partition, OneWay, LostReply, CutReply,
		RedisPause, RedisKill, ScriptFlush, MemoryLoss, HangUp,
	}
}

// outages befall a server at random, one after the other.
func outages() []Fault { return []Fault{Drain, Pause, Partition, OneWay} }

// blows befall a server at random or Redis, one after the other.
func blows() []Fault { return append(kills(), redisFaults()...) }

func kills() []Fault { return []Fault{Kill, KillBefore, KillAfter} }

func redisFaults() []Fault {
	return []Fault{RedisPause, RedisKill, ScriptFlush, MemoryLoss, Failover, SlotMove}
}

// perRun is how often a fault is to happen in a run of full size, which lasts
// fullSize. Those that happen to a share of all commands or requests have no number.
func (f Fault) perRun() int {
	switch f {
	case Kill:
		return 20
	case KillBefore, KillAfter:
		return 15
	case ScriptFlush:
		return 30
	case MemoryLoss:
		return 2
	case Failover, SlotMove:
		return 5
	default:
		return 12
	}
}

// ParseFaults reads names with commas between them. "all" is all that there are
// with a topology, "none" or nothing is none.
func ParseFaults(list string, topology Topology) ([]Fault, error) {
	all := AllFaults(topology)
	switch list {
	case "all":
		return all, nil
	case "", "none":
		return nil, nil
	}
	var faults []Fault
	for name := range strings.SplitSeq(list, ",") {
		if !slices.Contains(all, Fault(name)) {
			return nil, fmt.Errorf("unknown fault %q; with topology %s there are %v", name, topology, all)
		}
		faults = append(faults, Fault(name))
	}
	return faults, nil
}

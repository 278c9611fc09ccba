package bubble

import (
	"fmt"
	"strings"
)

// Kind is something that happened in a scenario and is counted: a fault, or what a
// run must have met to mean anything.
type Kind uint8

// The kinds.
const (
	LostRequest         Kind = iota // never reached Redis
	LostReply                       // executed, and the caller never hears of it
	LateRequest                     // executed after its caller gave up
	LateReply                       // comes back after its caller gave up, or nearly
	SwappedReply                    // is another caller's, or an earlier one
	CutReply                        // ends in the middle of a frame
	Reset                           // of the above, heard of by a broken connection and not by silence
	SplitPipeline                   // others' commands were executed between those of a pipeline
	Partition                       // a process is cut off from Redis for some time
	OneWayPartition                 // the same, of what Redis answers
	StallBeforeSend                 // a process stood still with a command not yet sent
	StallAfterExecution             // a process stood still with a reply not yet read
	StallInHandler                  // a process stood still in a handler
	CrashBeforeSend                 // a process died with a command not yet sent
	CrashAfterExecution             // a process died before it read the reply
	CrashInHandler                  // a process died in a handler before its effect
	CrashAfterEffect                // a process died in a handler after its effect
	Drained                         // a process was shut down in an orderly way
	CallerLeft                      // a client's patience ended
	HandlerPanicked                 //
	HandlerDeaf                     // went on after its context had ended
	HandlerReleased                 // said in so many words that nothing happened
	HandlerFailed                   // failed before any effect
	HandlerUnknown                  // could not say what happened
	LargeAnswer                     // goes to Redis by a key of its own
	Commands                        // that Redis executed, from here on
	ScriptsSent                     // because Redis did not know them
	LeaseLost                       // a handler's context was cancelled for its lease
	MarkRefused                     // MarkEffect said no
	Started                         // handlers
	TookOver                        // a handler started after an unknown outcome
	Executed                        // answers, from here on
	Replayed                        //
	Unrecorded                      // executed, and not final
	Conflict                        // in progress
	Unknown                         // outcome unknown
	Mismatch                        // another request's key
	Unavailable                     // the store could not say, or the process drains
	Unheard                         // no answer: a dead process, a panic, a client that left
	ResolvedInTheEnd                // unknown in the end, and resolved by a claim that may take over
	AnsweredInTheEnd                // recorded in the end
	kinds               = int(iota)
)

var names = [kinds]string{ //nolint:gochecknoglobals // a constant table
	"lost request", "lost reply", "late request", "late reply", "swapped reply", "cut reply", "reset",
	"split pipeline", "partition", "one-way partition", "stall before send", "stall after execution",
	"stall in handler", "crash before send", "crash after execution", "crash in handler",
	"crash after effect", "drained", "caller left", "handler panicked", "handler deaf", "handler released",
	"handler failed", "handler unknown", "large answer", "commands", "scripts sent", "lease lost",
	"mark refused", "started", "took over", "executed", "replayed", "unrecorded", "conflict", "unknown",
	"mismatch", "unavailable", "unheard", "resolved in the end", "answered in the end",
}

// String returns the kind in words.
func (k Kind) String() string { return names[k] }

// Tally counts what happened.
type Tally [kinds]int

// Add adds another tally to this one.
func (t *Tally) Add(other Tally) {
	for k, n := range other {
		t[k] += n
	}
}

// Below returns the kinds that happened less often than a floor says.
func (t *Tally) Below(floor int) []Kind {
	var rare []Kind
	for k, n := range t {
		if n < floor {
			rare = append(rare, Kind(k))
		}
	}
	return rare
}

// String returns one line for each kind.
func (t *Tally) String() string {
	var b strings.Builder
	for k, n := range t {
		fmt.Fprintf(&b, "%-24s %9d\n", names[k], n)
	}
	return b.String()
}

package simulation

import (
	"fmt"
	"strings"
)

// Kind is something that happened in a world and is counted: a fault, or a
// consequence of faults that a run must have met to mean anything.
type Kind uint8

// The kinds.
const (
	// Faults of the network.
	LostRequest  Kind = iota // never executed
	LostReply                // executed, and the caller never hears of it
	LatePacket               // executed after its caller gave up
	RepeatedNow              // executed, reply lost, executed again: the client's own retry
	RepeatedLate             // executed, and once more later
	NotExecuted              // the store says that it did not execute it
	SlowReply                // on the edge of the caller's patience
	LostSignal               // nobody hears that an attempt ended
	LateSignal               // heard much later, as after a connection that broke

	// Faults of a process.
	StallBeforeSend     // stood still with a request not yet sent
	StallAfterReply     // stood still with a reply not yet read
	StallInHandler      // stood still in a handler
	StallBeforeEffect   // stood still between the mark and the effect
	CrashBeforeSend     // died with a request not yet sent
	CrashAfterExecution // died before it read the reply
	CrashInHandler      // died in a handler before its effect
	CrashAfterEffect    // died in a handler after its effect
	Drained             // was shut down in an orderly way and started anew
	CallerLeft          // the caller's context ended
	HandlerPanicked     //
	HandlerExited       // runtime.Goexit
	HandlerDeaf         // went on after its context was cancelled
	HandlerReleased     // said that nothing happened, in so many words
	HandlerFailed       // failed before any effect
	HandlerUnknown      // could not say what happened
	ClockForward        // the store's clock jumped ahead
	ClockBack           // the store's clock was set back
	Forgotten           // the store lost a record

	// Consequences.
	Settled            // an operator settled an unknown outcome
	Renewed            // a lease was renewed
	LeaseLost          // a handler's context was cancelled for its lease
	MarkRefused        // MarkEffect said no
	TookOver           // a handler started after an unknown outcome
	Executed           // answers, from here on
	Unrecorded         // executed, but the store did not say that it was recorded
	Replayed           //
	DeposedReplayed    // executed, refused, and answered with what was recorded instead
	RefusedInProgress  //
	RefusedUnknown     //
	RefusedUnavailable //
	RefusedLeaseLost   //
	RefusedDraining    //
	RefusedNotStarted  // the caller left in time
	WaitedReplayed     // waited, and was given what was recorded meanwhile
	WaitedExecuted     // waited, and its handler ran then
	WaitedInVain       // waited, and was refused in the end
	WaiterLeft         // its caller left while it waited
	SettledByAlways    // unknown in the end, and resolved by a claim that may take over
	AnsweredInTheEnd   // recorded in the end
	kinds              = int(iota)

	lastFault = Forgotten
)

var names = [kinds]string{ //nolint:gochecknoglobals // a constant table
	"lost request", "lost reply", "late packet", "repeated now", "repeated late", "not executed", "slow reply",
	"lost signal", "late signal",
	"stall before send", "stall after reply", "stall in handler", "stall before effect",
	"crash before send", "crash after execution", "crash in handler", "crash after effect",
	"drained", "caller left", "handler panicked", "handler exited", "handler deaf",
	"handler released", "handler failed", "handler unknown", "clock forward", "clock back",
	"forgotten", "settled", "renewed", "lease lost", "mark refused", "took over",
	"executed", "unrecorded", "replayed", "deposed, replayed", "refused: in progress", "refused: unknown",
	"refused: unavailable", "refused: lease lost", "refused: draining", "refused: not started",
	"waited, replayed", "waited, executed", "waited in vain", "waiter left",
	"settled by always", "answered in the end",
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

// Rare returns the faults that happened less often than faults says, and the
// consequences that happened less often than the rest says.
func (t *Tally) Rare(faults, rest int) []Kind {
	var rare []Kind
	for k, n := range t {
		least := rest
		if Kind(k) <= lastFault {
			least = faults
		}
		if n < least {
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

/*
 * Every record with every event, once: a line is printed for each, which
 * transitions_test.go compares with store.Step. There is no engine here and no
 * time.
 *
 * The fields of a record are printed in the order of their declaration, states,
 * verdicts and modes as the numbers of the constants in package store.
 */

#include "protocol.pml"

#define stateNumber (rec.State == Absent -> 0 : (rec.State == Running -> 1 : (rec.State == Completed -> 2 : \
	(rec.State == Unknown -> 3 : 4))))

#define verdictNumber (verdict == Claimed -> 1 : (verdict == Ended -> 2 : (verdict == InProgress -> 3 : \
	(verdict == OutcomeUnknown -> 4 : (verdict == Recorded -> 5 : (verdict == Done -> 8 : (verdict == Lost -> 9 : 10)))))))

byte o, t, a; /* the event's owner, token and answer */

inline pick(variable, least, most) {
	variable = least;
	do
	:: variable < most -> variable++
	:: break
	od
}

/* A record as a store can hold it: what a state does not use is zero. */
inline pickRecord() {
	if
	:: rec.State = Running; pick(rec.Left, 0, LEASE); pick(rec.TookOver, 0, 1)
	:: rec.State = Completed
	:: rec.State = Unknown
	:: rec.State = Released; pick(rec.Void, 0, 1)
	fi;
	pick(rec.Owner, 1, 2);
	pick(rec.Token, 1, 2);
	if
	:: rec.State == Released -> pick(rec.Attempt, 0, 2)
	:: else -> pick(rec.Attempt, 1, 2); pick(rec.Marked, 0, 1)
	fi;
	if
	:: rec.State == Completed -> rec.Answer = rec.Owner
	:: else
	fi
}

#define before(name, one, two) \
	printf("\nstep "); printf(#name); printf(" %d %d %d %d %d", o, t, now, one, two); tell()

inline tell() {
	printf(" : %d %d %d %d %d %d %d %d %d", stateNumber, rec.Owner, rec.Token, rec.Attempt, rec.Left,
		rec.Marked, rec.TookOver, rec.Void, rec.Answer)
}

inline after() {
	tell();
	printf(" : %d\n", verdictNumber)
}

init {
	atomic {
		if
		:: pickRecord()
		:: skip
		fi;
		pick(now, 1, 3);
		pick(o, 1, 2);
		pick(t, 1, 3);
		a = o
	}
	if
	:: d_step { before(claim, 0, 0); claim(o, TakeOverNever); after() }
	:: d_step { before(claim, 1, 0); claim(o, TakeOverUnmarked); after() }
	:: d_step { before(claim, 2, 0); claim(o, TakeOverAlways); after() }
	:: d_step { before(renew, 0, 0); renew(o); after() }
	:: d_step { before(mark, 0, 0); mark(o); after() }
	:: d_step { before(complete, 0, 0); complete(o, t, 1, false); after() }
	:: d_step { before(complete, 1, 0); complete(o, t, 1, true); after() }
	:: d_step { before(fail, 0, 0); fail(o, t, 1, false, false); after() }
	:: d_step { before(fail, 0, 1); fail(o, t, 1, false, true); after() }
	:: d_step { before(fail, 1, 0); fail(o, t, 1, true, false); after() }
	:: d_step { before(fail, 1, 1); fail(o, t, 1, true, true); after() }
	:: d_step { before(release, 0, 0); release(o, false); after() }
	:: d_step { before(release, 1, 0); release(o, true); after() }
	:: d_step { before(settle, 0, 0); settle(o, t, 0, false); after() }
	:: d_step { before(settle, 0, 1); settle(o, t, 0, true); after() }
	:: d_step { before(settle, 1, 0); settle(o, t, a, false); after() }
	:: d_step { before(settle, 1, 1); settle(o, t, a, true); after() }
	fi
}

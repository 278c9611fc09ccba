/*
 * The engine: two requests side by side and one after the faults, all for one
 * operation, with processes that stand still or die, the clock, the faults, and an
 * operator. doc.go says what is left out, world.pml which switches there are.
 */

#include "world.pml"

/* A request. Its process may die at any point, and stand still at any. */

inline ask(command, what) {
	command = true; c[o].waits = what; c[o].heard = None
}

/* A copy of a claim that was answered does not outlive what it was sent for. */
inline dropCopies() {
#ifdef LATE_COPIES
	skip
#else
	c[o].sentClaim = false
#endif
}

inline hear() { c[o].waits = Nothing; c[o].heard = None }

proctype Request(byte o) {
	bool may, did, asked;
	{
		/* The two are alike: the first is who sends first. */
		(o == 1 || (o == 2 && (c[1].began || c[1].dead)) || (o == LAST && THIRD_MAY_BEGIN));
claiming:
		atomic { ask(c[o].sentClaim, Claim); c[o].began = true; c[o].left = LEASE }
		if
		:: atomic { c[o].heard == Claimed -> hear(); goto granted }
		:: atomic { c[o].heard == Recorded -> hear(); dropCopies(); answerFinally(c[o].answer); c[o].answer = 0; goto answered }
		:: atomic { c[o].heard == InProgress -> hear(); dropCopies();
			if
			:: o != LAST -> goto answered
			:: else -> goto waiting
			fi }
		:: atomic { c[o].heard == OutcomeUnknown -> hear(); dropCopies(); goto answered }
		:: atomic { c[o].heard == Ended -> hear(); goto answered }
		:: atomic { o != LAST -> hear(); printf("request %d: no answer to its claim\n", o); goto unclaimed } /* gave up waiting */
		fi;

waiting:	/* the last one waits for the attempt that is running */
#ifdef BROKEN_NO_RECHECK /* relies on being told */
		atomic { rec.State != Running -> goto claiming }
#else
		atomic { rec.State != Running || rec.Left == 0 -> goto claiming }
#endif

granted:
#ifdef BROKEN_LEASE_FROM_REPLY
		c[o].left = LEASE;
#endif
		if
		:: atomic { c[o].left > 0 && !c[o].doubt -> c[o].relies = true; c[o].open = true; printf("request %d: its handler starts\n", o) }
		:: c[o].left == 0 || c[o].doubt -> goto abandon
		:: o != LAST -> goto abandon /* the caller has gone, or a shutdown began */
		fi;

		/* The handler, and the watchdog beside it. */
		may = (MARKS != 1);
		do
		:: atomic { c[o].renewals < RENEWALS && c[o].left > 0 && !c[o].sentRenew && c[o].renewed == None ->
			c[o].sentRenew = true; c[o].renewals++; c[o].renewLeft = LEASE }
		:: atomic { c[o].renewed == Done && c[o].left > 0 -> c[o].renewed = None;
			c[o].left = c[o].renewLeft; c[o].renewLeft = 0 }
		:: atomic { c[o].renewed == Lost -> c[o].renewed = None; c[o].left = 0; c[o].renewLeft = 0 }
#if MARKS
		:: atomic { !asked && c[o].left > 0 && (MARKS == 1 || did) -> asked = true; ask(c[o].sentMark, Mark) }
		:: atomic { c[o].waits == Mark && c[o].heard == Done -> hear(); c[o].marked = true;
			may = (may || c[o].left > 0) }
		:: atomic { c[o].waits == Mark && c[o].heard == Lost -> hear(); c[o].left = 0 }
		:: atomic { c[o].waits == Mark && o != LAST -> hear() } /* unanswered: MarkEffect returns an error */
#endif
		:: atomic { may && !did -> did = true; effect() }
		:: c[o].waits == Nothing -> break
		od;
		atomic {
			if
			:: did -> c[o].ending = Complete
			:: !did && !c[o].marked -> c[o].ending = Release
			:: c[o].ending = Fail /* a panic, or a context that ended */
			fi;
			dropCopies();
			c[o].relies = false; c[o].left = 0; c[o].renewLeft = 0; c[o].renewed = None; c[o].renewals = 0;
			may = false; did = false; asked = false;
			printf("request %d: its handler ends, %e\n", o, c[o].ending);
			ask(c[o].sentEnd, c[o].ending)
		}
		if
		:: atomic { c[o].heard == Done && c[o].ending == Complete -> hear(); answerFinally(o); goto answered }
		:: atomic { c[o].heard == Refused && c[o].ending == Complete -> hear(); goto deposed }
		:: atomic { c[o].heard != None && c[o].ending != Complete -> hear(); goto answered }
		:: atomic { o != LAST -> hear(); printf("request %d: no answer to its ending\n", o); goto answered } /* the answer is sent as unrecorded; the ending stays under way */
		fi;

deposed:
		atomic {
#ifdef BROKEN_DEPOSED
			answerFinally(o);
#else
			if
			:: rec.State == Completed -> answerFinally(rec.Answer)
			:: else /* lease_lost */
			fi;
#endif
			goto answered
		}

abandon:
		atomic { dropCopies(); c[o].left = 0; c[o].doubt = false; c[o].ending = ReleaseVoid; ask(c[o].sentEnd, ReleaseVoid) }
		atomic { c[o].heard != None -> hear(); goto answered } /* sent until it is answered */

unclaimed:
#ifdef BROKEN_FAIL_OPEN
		effect();
#endif
		atomic { c[o].left = 0; c[o].ending = ReleaseVoid; ask(c[o].sentEnd, ReleaseVoid) }
		atomic { c[o].heard != None -> hear() }
		/* Once more when the claim has arrived or is lost. */
		atomic { !c[o].sentClaim -> ask(c[o].sentEnd, ReleaseVoid) }
		atomic { c[o].heard != None -> hear() }

answered:	skip
	} unless { c[o].dead }
	atomic {
		c[o].over = true; c[o].relies = false; c[o].left = 0; c[o].renewLeft = 0; c[o].waits = Nothing; c[o].heard = None;
		c[o].renewed = None; c[o].answer = 0; c[o].doubt = false
	}
}

#define down(counter) counter = (counter > 0 -> counter - 1 : 0)

active proctype Clock() {
end:	do
	:: d_step {
		rec.Left > 0 || c[1].left > 0 || c[2].left > 0 || c[3].left > 0 ->
		printf("time passes\n");
		down(rec.Left); down(c[1].left); down(c[2].left); down(c[3].left);
		down(c[1].renewLeft); down(c[2].renewLeft); down(c[3].renewLeft);
#ifdef BROKEN_LEASE_IS_TTL
		if
		:: rec.State == Running && rec.Left == 0 -> forget()
		:: else
		fi
#endif
	   }
	od
}

active proctype Faults() {
	byte crashes = CRASHES, losses = LOSSES, jumps = JUMPS, lost;
end:	do
	:: atomic { crashes > 0 && !c[1].over -> crashes--; c[1].dead = true; c[1].relies = false; c[1].left = 0; printf("request 1: its process DIES\n") }
	:: atomic { crashes > 0 && !c[2].over -> crashes--; c[2].dead = true; c[2].relies = false; c[2].left = 0; printf("request 2: its process DIES\n") }
#if LOSSES
	:: atomic { losses > 0 && rec.State != Absent -> losses--; lost = rec.Owner; forget(); printf("the store FORGETS\n");
#ifdef GUARD
		quarantine = true
#endif
	   }
#ifdef BROKEN_SHORT_QUARANTINE /* lasts no longer than what ran when the memory was lost */
	:: atomic { quarantine && (lost == 0 || c[lost].over) -> quarantine = false; printf("the quarantine is over\n") }
#endif
#endif
#if JUMPS
	:: atomic { jumps > 0 && rec.State == Running && rec.Left > 0 -> jumps--; rec.Left = 0; printf("the store's clock jumps AHEAD\n") }
	:: atomic { jumps > 0 && rec.State == Running && rec.Left < LEASE -> jumps--; rec.Left = LEASE; printf("the store's clock is set BACK\n") }
#endif
	od
}

#if SETTLEMENTS
/* An operator decides once about an outcome that is unknown, or about an attempt
 * that runs, and knows what is true: that nothing happened is said of an attempt
 * only that is over and had no effect. */
active proctype Operator() {
end:	atomic {
		rec.State == Unknown || rec.State == Running ->
		settling = true; operatorSaw = rec.Token; operatorHeld = (rec.State == Running && rec.Left > 0);
		if
		:: operatorAnswer = OPERATOR
		:: effects == 0 && (c[rec.Owner].over || c[rec.Owner].dead) -> operatorAnswer = 0
		fi
	}
	atomic {
		settle(OPERATOR, operatorSaw, operatorAnswer, operatorHeld);
		printf("the operator settles token %d with answer %d: %e\n", operatorSaw, operatorAnswer, verdict);
		if
		:: verdict == Done && operatorAnswer == 0 -> c[1].open = false; c[2].open = false; c[3].open = false
		:: else
		fi;
		verdict = None; settling = false; operatorSaw = 0; operatorAnswer = 0; operatorHeld = false
	}
}
#endif

init {
	atomic {
		run Wire(1); run Wire(2); run Wire(3);
		run Request(1); run Request(2); run Request(3)
	}
}

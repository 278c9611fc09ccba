/*
 * The world around the protocol: what there is of each request, the wire that delays,
 * doubles and loses, the store that executes, and what the properties are judged by.
 *
 *   MODE=TakeOver...   what claims may do with an unknown outcome
 *   MARKS=0|1|2        handlers never mark, before their effect, after it (broken)
 *   CRASHES, COPIES, RENEWALS, LOSSES, JUMPS, SETTLEMENTS   how many at most
 *   GUARD              the store refuses claims once it has lost its memory
 *   BROKEN_...         wrong on purpose
 *   LATE_COPIES        copies of answered claims outlive their requests
 *   SIDE_BY_SIDE       the third request does not wait for the others, with
 *                      IGNORE_I6; for searches by hand, of minutes and gigabytes
 *   IGNORE_...         a property that is not judged
 *   JUDGE_ADOPTION     one that is judged only then
 */

#include "protocol.pml"

#ifndef MODE
#define MODE TakeOverNever
#endif
#ifndef MARKS
#define MARKS 0
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef COPIES
#define COPIES 0
#endif
#ifndef RENEWALS
#define RENEWALS 0
#endif
#ifndef LOSSES
#define LOSSES 0
#endif
#ifndef JUMPS
#define JUMPS 0
#endif
#ifndef SETTLEMENTS
#define SETTLEMENTS 0
#endif

#ifdef SIDE_BY_SIDE
#define THIRD_MAY_BEGIN (c[1].began || c[1].dead)
#else
#define THIRD_MAY_BEGIN (c[1].over && c[2].over && !settling)
#endif

#define LAST 3     /* the request that comes when the faults are over */
#define OPERATOR 4

mtype = { Nothing, Claim, Mark, Complete, Fail, Release, ReleaseVoid };

/* Caller is what there is of a request outside its own control flow: its commands
 * under way, the reply that it waits for, and its clock. */
typedef Caller {
	bool sentClaim, sentRenew, sentMark, sentEnd; /* under way: may be executed at any time */
	mtype waits = Nothing;  /* the reply that somebody would still hear */
	mtype heard = None;
	mtype renewed = None;
	mtype ending = Nothing; /* what end carries */
	byte left;                    /* of the lease by its own clock, from before the command was sent */
	byte renewLeft;               /* the same for a renewal under way */
	byte renewals;
	byte token;
	byte attempt;
	byte answer;                  /* that came with Recorded */
	bool marked;                  /* MarkEffect returned nil, or would have */
	bool doubt;                   /* granted by a store that has lost its memory */
	bool relies;                  /* its handler runs */
	bool open;                    /* it was started, and no release of it is recorded */
	bool began, over, dead
}

Caller c[4];

byte copies = COPIES;
byte newest;           /* the largest token ever given */
bool quarantine;
byte operatorSaw;      /* the token of the record that is to be settled */
byte operatorAnswer;
bool operatorHeld, settling;

/* What the properties are judged by. */

byte effects;
byte final;            /* the first final answer */

bool I1_one_effect = true;
bool I1_one_holder = true;
bool I2_one_answer = true;
bool I4_owner_only = true;
bool I6_nothing_left_behind = true;
bool I6_a_retry_runs = true;
bool I11_tokens_grow = true;
bool guard_adopts = true;

inline effect() {
	d_step {
		printf("request %d: its EFFECT\n", o);
		effects = (effects < 2 -> effects + 1 : 2);
#ifndef IGNORE_I1_EFFECT
		I1_one_effect = (effects <= 1);
		assert(I1_one_effect)
#endif
	}
}

#ifdef IGNORE_I2
#define judgeAnswer skip
#else
#define judgeAnswer assert(I2_one_answer)
#endif
#define answerFinally(a) printf("request %d: the final answer is %d's\n", o, a); I2_one_answer = (final == 0 || final == a); judgeAnswer; final = a

/* The wire and the store: commands of one caller, each executed as one step. */

/* Scratch of one execution: an event's token, attempt and mark, and what the record
 * was before it. */
byte t, n, foreign, wasLeft, wasAnswer;
bool said, wasMarked;
mtype was = Absent;

/* arrives takes a command from the wire, or executes a copy of it and leaves it
 * under way: a client sends again when a reply got lost. */
inline arrives(command) {
	if
	:: command = false
	:: command && copies > 0 -> copies--
	fi
}

inline readClock() {
	if
	:: now = newest + 1
#if JUMPS
	:: now = 1 /* it was set back */
#endif
	fi
}

#define holds(i) (i != o && c[i].relies && c[i].left > 0)

/* I6: an unknown outcome is that of an attempt that was started, or whose process
 * died; and where claims take over whatever it is, nobody hears of it. */
inline judgeUnknown() {
	if
	:: verdict != OutcomeUnknown || o != LAST -> skip
	:: else ->
#ifndef IGNORE_I6
		I6_nothing_left_behind = (c[1].open || c[2].open || c[1].dead || c[2].dead);
		assert(I6_nothing_left_behind);
#endif
		I6_a_retry_runs = (MODE != TakeOverAlways);
		assert(I6_a_retry_runs)
	fi
}

inline executeClaim() {
	foreign = rec.Token;
	claim(o, MODE);
	printf("the store: claim of %d, %e; token %d, owner %d\n", o, verdict, rec.Token, rec.Owner);
	if
	:: verdict == Claimed && rec.Token != foreign ->
#ifndef IGNORE_I1_HOLDER
		I1_one_holder = (quarantine || !(holds(1) || holds(2) || holds(3)));
		assert(I1_one_holder);
#endif
		I11_tokens_grow = (rec.Token > newest);
		assert(I11_tokens_grow);
		newest = rec.Token
	:: else
	fi;
	judgeUnknown();
	if
	:: c[o].waits == Claim ->
		c[o].heard = verdict;
		c[o].token = rec.Token; c[o].attempt = rec.Attempt;
		c[o].answer = rec.Answer; c[o].doubt = quarantine
	:: else
	fi
}

inline executeEnd() {
	t = c[o].token; n = c[o].attempt; said = c[o].marked;
	if
	:: c[o].ending == Complete -> complete(o, t, n, true)
	:: c[o].ending == Fail -> fail(o, t, n, true, said)
	:: c[o].ending == Release -> release(o, false)
	:: c[o].ending == ReleaseVoid -> release(o, true)
	fi;
	printf("the store: %e of %d, %e; now %e, owner %d\n", c[o].ending, o, verdict, rec.State, rec.Owner);
	newest = (rec.Token > newest -> rec.Token : newest);
#ifdef JUDGE_ADOPTION
	guard_adopts = !(quarantine && c[o].ending == Complete && verdict == Refused);
	assert(guard_adopts);
#endif
	if
	:: verdict == Done && c[o].ending == Release -> c[o].open = false
	:: else
	fi;
	if
	:: c[o].waits == c[o].ending -> c[o].heard = verdict
	:: else
	fi
}

/* I4: what is not a claim or a settlement changes its own record, none, or one
 * that never was an attempt's. */
inline before() {
	foreign = (rec.State == Absent || rec.Owner == o || (rec.State == Released && rec.Void) -> 0 : rec.Owner);
	was = rec.State; wasLeft = rec.Left; wasMarked = rec.Marked; wasAnswer = rec.Answer
}

inline after() {
#ifndef IGNORE_I4
	I4_owner_only = (foreign == 0 || (rec.Owner == foreign && rec.State == was && rec.Left == wasLeft &&
		rec.Marked == wasMarked && rec.Answer == wasAnswer));
	assert(I4_owner_only);
#endif
	forgetScratch()
}

inline forgetScratch() {
	foreign = 0; t = 0; n = 0; said = false; was = Absent; wasLeft = 0; wasMarked = false; wasAnswer = 0;
	verdict = None; now = 0
}

proctype Wire(byte o) {
end:	do
	:: atomic { c[o].sentClaim -> arrives(c[o].sentClaim); readClock(); executeClaim(); forgetScratch() }
	:: atomic { c[o].sentClaim && c[o].waits != Claim -> c[o].sentClaim = false } /* lost; one that is waited for is given up instead */
	:: atomic { c[o].sentRenew -> arrives(c[o].sentRenew); before(); renew(o);
		printf("the store: renew of %d, %e\n", o, verdict);
		c[o].renewed = verdict; after() }
	:: atomic { c[o].sentMark -> arrives(c[o].sentMark); before(); mark(o);
		printf("the store: mark of %d, %e\n", o, verdict);
		if
		:: c[o].waits == Mark -> c[o].heard = verdict
		:: else
		fi;
		after() }
	:: atomic { c[o].sentEnd -> arrives(c[o].sentEnd); readClock(); before(); executeEnd(); after() }
	od
}

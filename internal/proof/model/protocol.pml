/*
 * The protocol: one record, and what each event makes of it.
 *
 * This file mirrors package store: states, verdicts and take-over modes go by the
 * names of its constants, events and inlines by those of its types and functions.
 * model_test.go holds the names to it, and the transitions as well: it lets Spin
 * walk through every record and every event, and compares each result with
 * store.Step (see transitions.pml).
 *
 * BROKEN_... variants are wrong on purpose.
 */

mtype = { Absent, Running, Completed, Unknown, Released };
mtype = { None, Claimed, Ended, InProgress, OutcomeUnknown, Recorded, Done, Lost, Refused };
mtype = { TakeOverNever, TakeOverUnmarked, TakeOverAlways };

#define LEASE 2 /* ticks of the store's clock */

/* Owners, answers and tokens are numbers from 1; 0 is none. An answer goes by the
 * number of who gave it. The lease end is how many ticks are left: 0 is lapsed. */
typedef Record {
	mtype State = Absent;
	byte Owner;
	byte Token;
	byte Attempt;
	byte Left;
	bool Marked;
	bool TookOver;
	bool Void;
	byte Answer
}

Record rec;
mtype verdict = None; /* the reply to the latest event */
byte now;                     /* the store's clock as a token, read for this event */

#ifdef BROKEN_EARLY_LAPSE /* a running record may be taken over while its owner still holds it */
#define Lapsed (rec.Left <= 1)
#elif defined(BROKEN_NO_LAPSE) /* a lock without a lease */
#define Lapsed false
#else
#define Lapsed (rec.Left == 0)
#endif

#ifdef BROKEN_CLAIM_AGAIN /* an owner that asks again is anybody else, as with SET NX */
#define asksAgain(o) false
#else
#define asksAgain(o) (rec.Owner == o && rec.State != Completed)
#endif

#ifdef BROKEN_OWNER_MARK
#define heldBy(o) (rec.State == Running && rec.Left > 0)
#else
#define heldBy(o) (rec.State == Running && rec.Owner == o && rec.Left > 0)
#endif

#ifdef BROKEN_OWNER_COMPLETE
#define completes(o) (rec.State != Released)
#else
#define completes(o) (rec.Owner == o && rec.State != Released)
#endif

#ifdef BROKEN_OWNER_RELEASE
#define releases(o) true
#else
#define releases(o) (rec.Owner == o)
#endif

#ifdef BROKEN_TOKEN /* the clock alone */
#define nextToken now
#else
#define nextToken (now > rec.Token -> now : rec.Token + 1)
#endif

/* absentFor: the record is gone, or all that happened since the attempt with
 * token t is that a later claim came and went without ever starting. */
#define absentFor(t) (rec.State == Absent || (rec.State == Released && rec.Void && t < rec.Token))

#ifdef BROKEN_TAKEOVER
#define takesOver(mode) false
#else
#define takesOver(mode) (mode == TakeOverAlways || (mode == TakeOverUnmarked && !rec.Marked))
#endif

inline forget() {
	rec.State = Absent; rec.Owner = 0; rec.Token = 0; rec.Attempt = 0; rec.Left = 0;
	rec.Marked = false; rec.TookOver = false; rec.Void = false; rec.Answer = 0
}

inline claim(o, mode) {
	if
	:: rec.State == Absent -> start(o)
	:: else ->
		if
		:: asksAgain(o) -> claimAgain(o)
		:: else ->
			if
			:: rec.State == Released -> start(o)
			:: rec.State == Completed -> verdict = Recorded
			:: rec.State == Running && !Lapsed -> verdict = InProgress
			:: rec.State == Unknown || (rec.State == Running && Lapsed) -> takeOver(o, mode)
			fi
		fi
	fi
}

inline start(o) {
	rec.State = Running; rec.Owner = o; rec.Token = nextToken; rec.Attempt = rec.Attempt + 1;
	rec.Left = LEASE; rec.Marked = false; rec.TookOver = false; rec.Void = false;
	verdict = Claimed
}

inline claimAgain(o) {
	if
	:: rec.State != Running -> verdict = Ended
	:: else -> rec.Left = LEASE; verdict = Claimed
	fi
}

/* takeOver: the mark stays, the earlier attempt's effect may have happened. */
inline takeOver(o, mode) {
	if
	:: !takesOver(mode) -> verdict = OutcomeUnknown
	:: else ->
		if
		:: rec.Marked -> start(o); rec.Marked = true
		:: else -> start(o)
		fi;
		rec.TookOver = true
	fi
}

inline renew(o) {
	if
	:: heldBy(o) -> rec.Left = LEASE; verdict = Done
	:: else -> verdict = Lost
	fi
}

inline mark(o) {
	if
	:: heldBy(o) -> rec.Marked = true; verdict = Done
	:: else -> verdict = Lost
	fi
}

/* complete: t and n are the attempt's token and number, allows says that an absent
 * record may be adopted. The answer is the owner's number. */
inline complete(o, t, n, allows) {
	if
	:: absentFor(t) ->
		if
		:: allows -> adopt(o, t, n); completed(o, o); verdict = Done
		:: else -> verdict = Refused
		fi
	:: else ->
		if
		:: !completes(o) -> verdict = Refused
		:: else ->
			if
			:: rec.State == Completed && rec.Owner == o -> skip
			:: else -> completed(o, o)
			fi;
			verdict = Done
		fi
	fi
}

/* fail: said is the owner's own knowledge of the mark. */
inline fail(o, t, n, allows, said) {
	if
	:: absentFor(t) ->
		if
		:: allows -> adopt(o, t, n); unknown(); rec.Marked = said; verdict = Done
		:: else -> verdict = Refused
		fi
	:: else ->
		if
		:: rec.Owner != o || rec.State == Released -> verdict = Refused
		:: else ->
			if
			:: rec.State != Running -> skip
			:: else -> unknown(); rec.Marked = (rec.Marked || said)
			fi;
			verdict = Done
		fi
	fi
}

/* release: unstarted says that the attempt never started. */
inline release(o, unstarted) {
	if
	:: rec.State == Absent -> tombstone(o, unstarted); verdict = Done
	:: else ->
		if
		:: !releases(o) || (rec.State == Unknown && !unstarted) -> verdict = Refused
		:: else ->
			if
			:: rec.State == Running && unstarted && rec.TookOver -> rec.Attempt--; unknown()
			:: rec.State == Running && unstarted && !rec.TookOver -> rec.Attempt--; released(); rec.Void = (rec.Attempt == 0)
			:: rec.State == Running && !unstarted -> released()
			:: rec.State != Running -> skip
			fi;
			verdict = Done
		fi
	fi
}

/* settle: compare-and-set on the token t. An answer of 0 releases. */
inline settle(o, t, a, held) {
	if
	:: rec.State == Absent || rec.Token != t -> verdict = Refused
	:: else ->
		if
		:: (a == 0 && rec.State == Released) || (a != 0 && rec.State == Completed && rec.Owner == o) -> verdict = Done
		:: else ->
			if
			:: !(rec.State == Unknown || (rec.State == Running && (held || rec.Left == 0))) -> verdict = Refused
			:: else ->
				if
				:: a == 0 -> released()
				:: else -> completed(o, a)
				fi;
				verdict = Done
			fi
		fi
	fi
}

inline adopt(o, t, n) {
	forget();
	rec.State = Running; rec.Owner = o; rec.Token = t; rec.Attempt = n
}

inline tombstone(o, unstarted) {
	rec.State = Released; rec.Owner = o; rec.Token = now; rec.Void = unstarted
}

inline completed(by, what) {
	ended(Completed);
	rec.Owner = by; rec.Answer = what
}

inline released() {
	ended(Released);
	rec.Answer = 0; rec.Marked = false
}

inline unknown() { ended(Unknown) }

/* ended: the lease end of a record that does not run means nothing any more. */
inline ended(s) {
	rec.State = s; rec.Left = 0; rec.TookOver = false; rec.Void = false
}

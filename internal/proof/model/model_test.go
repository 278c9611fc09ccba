package model_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The model's properties, and what Spin says of an end or a cycle that must not be.
const (
	oneEffect   = "I1_one_effect"
	oneHolder   = "I1_one_holder"
	oneAnswer   = "I2_one_answer"
	ownerOnly   = "I4_owner_only"
	leftBehind  = "I6_nothing_left_behind"
	retryRuns   = "I6_a_retry_runs"
	stuck       = "invalid end state"
	endless     = "non-progress cycle"
	tokensGrow  = "I11_tokens_grow"
	guardAdopts = "guard_adopts"
)

// configuration is one configuration of engine.pml.
type configuration struct {
	name  string
	flags string
	want  string // verdict
	// least is how many states a search has at the least that finds nothing.
	least int
	// story is how a violation comes about: for the right reason.
	story string
	// cycles asks for cycles, and for nothing else.
	cycles bool
}

// modes are the orphan policies as the engine sends them, with what their handlers do.
const (
	refuse   = "-DMODE=TakeOverNever"
	unmarked = "-DMODE=TakeOverUnmarked -DMARKS=1"
	rerun    = "-DMODE=TakeOverAlways -DIGNORE_I1_EFFECT"
)

// right are the configurations in which the protocol keeps what it promises.
var right = []configuration{
	{name: "refuse, crashes, copies", flags: refuse + " -DCRASHES=2 -DCOPIES=1", want: ok, least: 1_000_000},
	{name: "refuse, renewals, copies", flags: refuse + " -DRENEWALS=1 -DCOPIES=1", want: ok, least: 500_000},
	{name: "refuse, crash, an operator settles", flags: refuse + " -DCRASHES=1 -DSETTLEMENTS=1", want: ok, least: 600_000},
	{name: "refuse, crash: every request ends", flags: refuse + " -DCRASHES=1", want: ok, least: 200_000, cycles: true},
	{name: "rerun-unmarked, crash", flags: unmarked + " -DCRASHES=1", want: ok, least: 500_000},
	{name: "rerun-unmarked, copies", flags: unmarked + " -DCOPIES=1", want: ok, least: 500_000},
	{name: "rerun, crash", flags: rerun + " -DCRASHES=1", want: ok, least: 300_000},
	{name: "rerun, renewals", flags: rerun + " -DRENEWALS=1", want: ok, least: 700_000},
	// The lock is not held while the clock jumps; mark and owner check hold all the same.
	{name: "rerun-unmarked, the store's clock jumps", flags: unmarked + " -DJUMPS=1 -DIGNORE_I1_HOLDER", want: ok, least: 250_000},
	{name: "refuse, late copies of claims", flags: refuse + " -DCOPIES=1 -DLATE_COPIES -DIGNORE_I6", want: ok, least: 100_000},
	{name: "memory loss, guard, crash", flags: refuse + " -DLOSSES=1 -DGUARD -DCRASHES=1", want: ok, least: 350_000},
	{name: "memory loss without guard: owners and tokens", flags: refuse + " -DLOSSES=1 -DIGNORE_I1_EFFECT -DIGNORE_I1_HOLDER -DIGNORE_I2", want: ok, least: 100_000},
}

// limits are what is not promised: the protocol is right, and the property fails.
var limits = []configuration{
	{
		name: "rerun: two effects", flags: "-DMODE=TakeOverAlways", want: oneEffect,
		story: `1: its EFFECT(?s:.*)claim of 2, Claimed(?s:.*)2: its EFFECT`,
	},
	{
		name: "rerun-unmarked, a handler that never marks", flags: "-DMODE=TakeOverUnmarked -DMARKS=0", want: oneEffect,
		story: `1: its EFFECT(?s:.*)claim of 2, Claimed(?s:.*)2: its EFFECT`,
	},
	{
		name: "memory loss without guard", flags: refuse + " -DLOSSES=1 -DIGNORE_I1_HOLDER", want: oneEffect,
		story: `its EFFECT(?s:.*)FORGETS(?s:.*)Claimed(?s:.*)its EFFECT`,
	},
	{
		name: "late copies of claims", flags: refuse + " -DCOPIES=1 -DLATE_COPIES", want: leftBehind,
		story: `claim of 2, InProgress(?s:.*)Released(?s:.*)claim of 2, Claimed(?s:.*)claim of 3, OutcomeUnknown`,
	},
	{
		// The guard asks after the claim, so that a claim which it doubts has written
		// its record by then, and until that is released nothing can be adopted.
		name: "memory loss, guard: a completion may come too late", flags: refuse + " -DLOSSES=1 -DGUARD -DJUDGE_ADOPTION", want: guardAdopts,
		story: `FORGETS(?s:.*)claim of 2, Claimed(?s:.*)Complete of 1, Refused`,
	},
}

// broken are the variants that are wrong on purpose.
var broken = []configuration{
	{
		name: "no owner check on complete", flags: rerun + " -DBROKEN_OWNER_COMPLETE", want: ownerOnly,
		story: `claim of 2, Claimed; token 2(?s:.*)Complete of 1, Done; now Completed, owner 1$`,
	},
	{
		name: "no owner check on complete, by its answers", flags: rerun + " -DBROKEN_OWNER_COMPLETE -DIGNORE_I4", want: oneAnswer,
		story: `final answer is 2's(?s:.*)Complete of 1, Done(?s:.*)final answer is 1's`,
	},
	{
		name: "no owner check on complete, beside an operator", flags: refuse + " -DSETTLEMENTS=1 -DBROKEN_OWNER_COMPLETE -DIGNORE_I4", want: oneAnswer,
		story: `settles token 1 with answer 4: Done(?s:.*)Complete of 1, Done`,
	},
	{
		name: "no owner check on release", flags: refuse + " -DBROKEN_OWNER_RELEASE", want: ownerOnly,
		story: `1: no answer to its claim(?s:.*)claim of 2, Claimed(?s:.*)ReleaseVoid of 1, Done; now Released, owner 2$`,
	},
	{
		name: "no owner check on release, by its effects", flags: refuse + " -DBROKEN_OWNER_RELEASE -DIGNORE_I4 -DIGNORE_I1_HOLDER", want: oneEffect,
		story: `2: its EFFECT(?s:.*)ReleaseVoid of 1, Done; now Released, owner 2(?s:.*)3: its EFFECT`,
	},
	{
		name: "no owner check on mark and renew", flags: unmarked + " -DBROKEN_OWNER_MARK", want: ownerOnly,
		story: `claim of 2, Claimed(?s:.*)mark of 1, Done$`,
	},
	{
		// As long as clocks agree, the engine's own look at its lease would do.
		name: "no owner check on mark, the store's clock jumps", want: oneEffect,
		flags: unmarked + " -DBROKEN_OWNER_MARK -DJUMPS=1 -DIGNORE_I4 -DIGNORE_I1_HOLDER",
		story: `jumps AHEAD(?s:.*)claim of 2, Claimed(?s:.*)mark of 1, Done(?s:.*)its EFFECT(?s:.*)its EFFECT`,
	},
	{
		name: "claim not idempotent per owner", flags: refuse + " -DCOPIES=1 -DBROKEN_CLAIM_AGAIN", want: leftBehind,
		story: `claim of 1, Claimed(?s:.*)claim of 1, InProgress(?s:.*)claim of 3, OutcomeUnknown`,
	},
	{
		name: "early lapse", flags: unmarked + " -DBROKEN_EARLY_LAPSE", want: oneHolder,
		story: `1: its handler starts\ntime passes\nthe store: claim of 2, Claimed`,
	},
	{
		name: "lease counted from the reply", flags: unmarked + " -DBROKEN_LEASE_FROM_REPLY", want: oneHolder,
		story: `claim of 1, Claimed(?s:.*)time passes(?s:.*)1: its handler starts(?s:.*)time passes(?s:.*)claim of 2, Claimed`,
	},
	{
		name: "deposed owner answers", flags: rerun + " -DBROKEN_DEPOSED", want: oneAnswer,
		story: `final answer is 2's(?s:.*)Complete of 1, Refused(?s:.*)final answer is 1's`,
	},
	{
		name: "deposed owner answers, beside an operator", flags: refuse + " -DSETTLEMENTS=1 -DBROKEN_DEPOSED", want: oneAnswer,
		story: `settles token 1 with answer 4: Done(?s:.*)Complete of 1, Refused(?s:.*)final answer is 1's`,
	},
	{
		name: "lease is the time to live", flags: refuse + " -DBROKEN_LEASE_IS_TTL", want: oneEffect,
		story: `1: its EFFECT\ntime passes\ntime passes\nthe store: claim of 2, Claimed`,
	},
	{
		name: "no lease", flags: refuse + " -DCRASHES=1 -DBROKEN_NO_LAPSE", want: endless, cycles: true,
		story: `claim of 3, InProgress`,
	},
	{
		name: "waits to be told, and for nothing else", flags: refuse + " -DCRASHES=1 -DBROKEN_NO_RECHECK", want: stuck,
		story: `claim of 3, InProgress(?s:.*)time passes$`,
	},
	{
		name: "take-over is never allowed", flags: "-DMODE=TakeOverAlways -DIGNORE_I1_EFFECT -DBROKEN_TAKEOVER", want: retryRuns,
		story: `its handler starts(?s:.*)claim of 3, OutcomeUnknown`,
	},
	{
		name: "fail open", flags: refuse + " -DBROKEN_FAIL_OPEN", want: oneEffect,
		story: `no answer to its claim(?s:.*)its EFFECT(?s:.*)its EFFECT`,
	},
	{
		name: "mark after the effect", flags: "-DMODE=TakeOverUnmarked -DMARKS=2", want: oneEffect,
		story: `1: its EFFECT(?s:.*)claim of 2, Claimed(?s:.*)2: its EFFECT`,
	},
	{
		name: "token by the clock alone", flags: refuse + " -DJUMPS=1 -DBROKEN_TOKEN -DIGNORE_I1_HOLDER", want: tokensGrow,
		story: `Claimed; token 2(?s:.*)Claimed; token 1`,
	},
	{
		name: "quarantine shorter than the retention", want: oneEffect,
		flags: refuse + " -DLOSSES=1 -DGUARD -DBROKEN_SHORT_QUARANTINE -DIGNORE_I1_HOLDER",
		story: `its EFFECT(?s:.*)FORGETS(?s:.*)the quarantine is over(?s:.*)its EFFECT`,
	},
}

func TestModelKeepsThePromises(t *testing.T) {
	t.Parallel()
	began := time.Now()
	dead := map[string]int{}
	for _, c := range right {
		t.Run(c.name, func(t *testing.T) {
			f := c.check(t)
			assert.GreaterOrEqual(t, f.states, c.least, "too few states to prove anything")
			for line := range unreached(f.output) {
				dead[line]++
			}
		})
	}
	maps.DeleteFunc(dead, func(_ string, times int) bool { return times < len(right) })
	assert.Empty(t, slices.Sorted(maps.Keys(dead)), "no configuration passes here")
	t.Logf("%d configurations in %v", len(right), time.Since(began).Round(time.Second))
}

func TestModelShowsTheLimits(t *testing.T) {
	t.Parallel()
	checkAll(t, limits)
}

func TestModelCatchesBrokenVariants(t *testing.T) {
	t.Parallel()
	checkAll(t, broken)
}

func checkAll(t *testing.T, configurations []configuration) {
	t.Helper()
	began := time.Now()
	for _, c := range configurations {
		t.Run(c.name, func(t *testing.T) { c.check(t) })
	}
	t.Logf("%d configurations in %v", len(configurations), time.Since(began).Round(time.Second))
}

// check searches a configuration and compares its verdict.
func (c configuration) check(t *testing.T) found {
	t.Helper()
	began := time.Now()
	s := search{file: "engine.pml", flags: strings.Fields(c.flags)}
	switch {
	case c.cycles:
		s.compile = []string{"-DNP"}
	case c.least > 600_000: // worth the compiler's time
		s.compile = []string{"-O1", "-DSAFETY"}
	case c.want == ok:
		s.compile = []string{"-DSAFETY"}
	default: // breadth first, for the shortest story
		s.compile = []string{"-DSAFETY", "-DBFS"}
	}
	f := s.run(t)
	t.Logf("%s: %d states in %v", f.verdict, f.states, time.Since(began).Round(time.Millisecond))
	story := ""
	if f.verdict != ok && !strings.Contains(f.verdict, ": ") {
		story = s.story(t, f)
	}
	require.Equal(t, c.want, f.verdict, "spin %s\n%s", c.flags, story)
	assert.Regexp(t, c.story, story)
	return f
}

var unreachedState = regexp.MustCompile(`^\t(\S+\.pml:\d+), state \d+, "(.*)"$`)

// unreached returns the guards of a model that a search did not pass.
func unreached(output string) map[string]bool {
	places := map[string]bool{}
	for line := range strings.Lines(output) {
		m := unreachedState.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m != nil && guard(m[2]) {
			places[m[1]+" "+m[2]] = true
		}
	}
	return places
}

// guard tells conditions from assignments, of which Spin counts only the last of
// those that it merges, and from the escapes within a step.
func guard(statement string) bool {
	return statement == "else" || strings.HasPrefix(statement, "(") && statement != "(c[o].dead)"
}

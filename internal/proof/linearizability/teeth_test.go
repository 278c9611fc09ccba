package linearizability_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/proof/linearizability"
	"github.com/reprise-go/reprise/store"
)

// library is how scripts are put together.
type library struct {
	folder string
	// text returns a script, given what reads a file of the folder.
	text func(read func(name string) string, name string) string
}

// storeScripts are those of redisstore: clock stands before each, and record takes
// the place of a line.
var storeScripts = library{
	folder: "../../../store/redisstore/lua/",
	text: func(read func(string) string, name string) string {
		return read("clock") + strings.Replace(read(name), "-- include record\n", read("record"), 1)
	},
}

// rounds of 2,000 operations are enough to find anything.
const rounds = 10

// edit is a fault put into a script: a passage and what takes its place.
type edit struct{ script, passage, instead string }

// The same clients, the same server and the same model, and a store that is
// wrong in one way: some history must be one that the protocol does not allow.
func TestHistoriesOfBrokenCoresAreRefused(t *testing.T) {
	tests := []struct {
		name  string
		edits []edit
		wrap  func(store.Store) store.Store
	}{
		{
			name:  "no owner check",
			edits: []edit{{"complete", "if sub(raw, 130, 161) ~= owner or state == 'L'", "if state == 'L'"}},
		},
		{
			name:  "claim not idempotent per owner",
			edits: []edit{{"claim", "== owner and", "== '' and"}},
		},
		{
			name: "lease is the time to live",
			edits: []edit{{
				"claim", "local key, order = KEYS[1], ARGV[1]",
				"local key, order = KEYS[1], sub(ARGV[1], 1, 48) .. string.format('%016.0f', math.ceil(sub(ARGV[1], 33, 48) / 1000)) .. sub(ARGV[1], 65)",
			}},
		},
		{
			name: "take-over is not atomic",
			wrap: func(st store.Store) store.Store { return &takeOverInTwoSteps{st} },
		},
		{
			name:  "mark takes no notice of the lease",
			edits: []edit{{"mark", "or now >= number(raw, 34)", ""}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			refused(t, func(seed uint64) *linearizability.Histories {
				p := profile{seed: seed, trouble: loseReplies(0.05), wrap: test.wrap, edits: test.edits}
				return p.run(t, 2000)
			})
		})
	}
}

// refused runs workloads until one has a history that is not in order.
func refused(t *testing.T, run func(seed uint64) *linearizability.Histories) {
	t.Helper()
	var findings []*linearizability.Finding
	seed, operations := uint64(0), 0
	for len(findings) == 0 && seed < rounds {
		seed++
		h := run(seed)
		operations += h.Operations()
		findings = h.Check(2, judging)
	}
	require.NotEmpty(t, findings, "nothing was found in %d operations", operations)
	require.Equal(t, porcupine.Illegal, findings[0].Result)
	t.Logf("found in %d operations:\n%s", operations, findings[0].Text)
}

// takeOverInTwoSteps looks whether an effect was marked, and if not, claims as
// one that may take over anything. In between, the attempt may have marked.
type takeOverInTwoSteps struct{ store.Store }

func (s *takeOverInTwoSteps) Apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	claim, ok := event.(store.Claim)
	if !ok || claim.TakeOver != store.TakeOverUnmarked {
		return s.Store.Apply(ctx, id, event)
	}
	rec, err := s.Lookup(ctx, id)
	if err != nil {
		return store.Reply{}, err
	}
	time.Sleep(lease) // long enough for the attempt to end
	if !rec.Marked {
		claim.TakeOver = store.TakeOverAlways
	}
	return s.Store.Apply(ctx, id, claim)
}

// rewriter is a hook on a client that sends other scripts than the store means.
// The client for renewals has no hooks.
type rewriter struct {
	texts  map[string]string // by the right text
	hashes map[string]string // by the right hash
}

func newRewriter(t *testing.T, scripts library, edits []edit) *rewriter {
	t.Helper()
	r := &rewriter{texts: map[string]string{}, hashes: map[string]string{}}
	for _, e := range edits {
		right := scripts.text(func(name string) string { return source(t, scripts, name) }, e.script)
		require.Equal(t, 1, strings.Count(right, e.passage), "%q in %s.lua", e.passage, e.script)
		wrong := strings.Replace(right, e.passage, e.instead, 1)
		r.texts[right], r.hashes[hash(right)] = wrong, hash(wrong)
	}
	return r
}

func source(t *testing.T, scripts library, name string) string {
	t.Helper()
	data, err := os.ReadFile(scripts.folder + name + ".lua")
	require.NoError(t, err)
	return string(data)
}

func hash(text string) string {
	sum := sha1.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// DialHook implements [redis.Hook].
func (r *rewriter) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements [redis.Hook].
func (r *rewriter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		r.rewrite(cmd)
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook implements [redis.Hook].
func (r *rewriter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			r.rewrite(cmd)
		}
		return next(ctx, cmds)
	}
}

func (r *rewriter) rewrite(cmd redis.Cmder) {
	args := cmd.Args()
	if len(args) < 2 {
		return
	}
	word, _ := args[1].(string)
	switch cmd.Name() {
	case "evalsha":
		if wrong, ok := r.hashes[word]; ok {
			args[1] = wrong
		}
	case "eval":
		if wrong, ok := r.texts[word]; ok {
			args[1] = wrong
		}
	}
}

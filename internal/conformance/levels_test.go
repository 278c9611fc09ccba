package conformance_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// level is one way in which something can be declared as protected: a function, a
// struct of functions, a table of routes, a method in a .proto. Whatever it is, the
// same must hold of it. All of them can leave a field of the request out of what
// counts: an order's trace id.
type level struct {
	name      string
	operation string // the name that the order desk has
	// open protects an order desk, on one node.
	open func(t *testing.T, desk orderDesk) callFunc
	// unscoped is the same declaration without a scope; openly, with the word for
	// that. Nil where nothing is constructed: see scopedByCall.
	unscoped func(t *testing.T, desk orderDesk, openly bool) (callFunc, error)
	// scopedByCall says why a missing scope is found by the calls alone.
	scopedByCall string
	mistakes     []mistake
	// passing are failures after which nothing happened; fatal are those after which
	// nobody knows what did. In the numbers of the level's transport.
	passing, fatal []trouble
}

// mistake is a wrong declaration, and what its error must name.
type mistake struct {
	name    string
	declare func(t *testing.T, g *idempotency.Guard) error
	names   []string
}

// levels are all of them: whoever adds a way of declaring adds it here.
func levels() []level {
	all := functionLevels()
	all = append(all, httpLevels()...)
	return append(all, grpcLevels()...)
}

// orderDesk is what each level protects: it answers with how often it ran.
type orderDesk struct {
	guard  *idempotency.Guard
	key    string // the policy's first word; "" is "required"
	policy string // in words, beside that
	runs   *atomic.Int64
	// work is done in each run; its error is the handler's answer. May be nil.
	work func(ctx context.Context) error
}

// run is the handler itself.
func (d orderDesk) run(ctx context.Context, in orderInput) (orderOutput, error) {
	n := d.runs.Add(1)
	if d.work != nil {
		if err := d.work(ctx); err != nil {
			return orderOutput{}, err
		}
	}
	return orderOutput{Run: n, Amount: in.Amount, Trace: in.TraceID}, nil
}

// words is the whole policy.
func (d orderDesk) words() string {
	words := "required"
	if d.key != "" {
		words = d.key
	}
	if d.policy != "" {
		words += "," + d.policy
	}
	return words
}

func (d orderDesk) parsed(t *testing.T) idempotency.Policy {
	t.Helper()
	policy, err := idempotency.ParsePolicy(d.words())
	require.NoError(t, err)
	return policy
}

type orderInput struct {
	ID      string `json:"id"       idempotency:"key"`
	Tenant  string `json:"tenant"   idempotency:"scope"`
	Amount  int    `json:"amount"`
	TraceID string `json:"trace_id" idempotency:"-"`
}

// unscopedInput is an orderInput whose tags say nothing of a scope.
type unscopedInput struct {
	ID      string `json:"id"       idempotency:"key"`
	Tenant  string `json:"tenant"   idempotency:"-"`
	Amount  int    `json:"amount"`
	TraceID string `json:"trace_id" idempotency:"-"`
}

type orderOutput struct {
	Run    int64  `json:"run"`
	Amount int    `json:"amount"`
	Trace  string `json:"trace"`
}

// answered is what a caller of the order desk gets.
type answered struct {
	orderOutput

	Wire     string // the answer as it came: status and bytes; empty for functions
	Replayed bool   // the library says so
}

// callFunc calls the order desk. Refusals of the library are errors in which errors.Is
// finds the code; what the handler fails with comes back as the trouble that it was.
type callFunc func(ctx context.Context, in orderInput) (answered, error)

// trouble is what a handler fails with: an HTTP status, a gRPC code, or just an error.
type trouble int

func (e trouble) Error() string              { return fmt.Sprintf("trouble %d", int(e)) }
func (e trouble) HTTPStatus() int            { return int(e) }
func (e trouble) GRPCStatus() *status.Status { return status.New(codes.Code(e), e.Error()) }

func orderOf(key string) orderInput { return orderInput{ID: key, Tenant: "P1", Amount: 7} }

// onEveryLevel runs a rule on each level, on the memory store and on a real Redis.
// nodes are as many guards on one store.
func onEveryLevel(t *testing.T, nodes int, rule func(t *testing.T, l level, guards []*idempotency.Guard)) {
	t.Helper()
	onEveryLevelAtOnce(t, nodes, 4, rule)
}

// onEveryLevelAtOnce says how many run at once, for rules that mostly sleep.
func onEveryLevelAtOnce(t *testing.T, nodes, most int, rule func(t *testing.T, l level, guards []*idempotency.Guard)) {
	t.Helper()
	room := make(chan struct{}, most)
	var wg sync.WaitGroup
	for _, l := range levels() {
		for name, opener := range levelStores() {
			wg.Go(func() {
				room <- struct{}{}
				defer func() { <-room }()
				t.Run(l.name+", "+name, func(t *testing.T) { rule(t, l, guardsOn(t, nodes, opener(t))) })
			})
		}
	}
	wg.Wait()
}

// levelStores are what the rules run on: what they return opens one node's store.
func levelStores() map[string]func(t *testing.T) func() store.Store {
	return map[string]func(t *testing.T) func() store.Store{
		"memory": func(t *testing.T) func() store.Store {
			t.Helper()
			records := newMemory(t)
			return func() store.Store { return records }
		},
		"redis": func(t *testing.T) func() store.Store {
			t.Helper()
			server, namespace := shared.Server(t), namespaceOf(t)
			return func() store.Store { return openRedis(t, server.Client(t), namespace) }
		},
	}
}

func guardsOn(t *testing.T, nodes int, open func() store.Store) []*idempotency.Guard {
	t.Helper()
	guards := make([]*idempotency.Guard, nodes)
	for i := range guards {
		guard, err := idempotency.New(open(), append(patient(),
			idempotency.WithLogger(slog.New(slog.DiscardHandler)), idempotency.WithTrace(outcomes()))...)
		require.NoError(t, err)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			assert.NoError(t, guard.Shutdown(ctx))
		})
		guards[i] = guard
	}
	return guards
}

// TestTheTableOfLevelsIsWhole: what a level leaves out would pass its rules in silence.
func TestTheTableOfLevelsIsWhole(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, l := range levels() {
		assert.False(t, names[l.name], "%s is there twice", l.name)
		names[l.name] = true
		assert.NotEmpty(t, l.operation, l.name)
		assert.NotEmpty(t, l.mistakes, "%s: what can be declared can be declared wrongly", l.name)
		assert.NotEmpty(t, l.passing, l.name)
		assert.NotEqual(t, l.unscoped == nil, l.scopedByCall == "", "%s: a construction without a scope, or why there is none", l.name)
		for _, m := range l.mistakes {
			assert.NotEmpty(t, strings.Join(m.names, ""), "%s, %s", l.name, m.name)
		}
	}
}

package bench_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/internal/faultproxy"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

const (
	herd   = 10_000
	leases = 10_000
)

// BenchmarkHerd: ten thousand duplicates wait for a handler of a second that runs
// already. What is asked of Redis from then on is reported, with the completion.
func BenchmarkHerd(b *testing.B) {
	srv := redistest.Start(b)
	proxy := faultproxy.Start(b, srv.Addr())
	st := openStore(b, srv.Client(b, func(o *redis.Options) { o.Addr = proxy.Addr() }))
	var runs atomic.Int64
	running := make(chan struct{}, 2)
	guard, err := idempotency.New(st)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, guard.Shutdown(context.Background())) })
	mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
	require.NoError(b, err)
	protect, err := mw.Protect("herd", idempotency.Policy{Wait: time.Minute, MaxWaiters: 2 * herd})
	require.NoError(b, err)
	handler := protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		runs.Add(1)
		running <- struct{}{}
		time.Sleep(time.Second) // the work
		w.WriteHeader(http.StatusCreated)
	}))
	require.Error(b, newPoster(handler).post("first", "")) // the server knows the scripts from now on
	<-running
	runs.Store(0)
	var all sync.WaitGroup
	all.Go(func() { assert.NoError(b, newPoster(handler).post(oneKey(), executed)) })
	<-running
	proxy.ResetCounts()
	began := time.Now()
	for range herd {
		all.Go(func() {
			p := newPoster(handler)
			_ = p.post(oneKey(), replayed)
			assert.Equal(b, http.StatusCreated, p.w.code)
		})
	}
	all.Wait()
	took := time.Since(began)
	commands := 0
	for _, n := range proxy.Requests() {
		commands += n
	}
	require.EqualValues(b, 1, runs.Load())
	b.ReportMetric(float64(commands), "commands")
	b.ReportMetric(took.Seconds(), "s")
	results.add(row{"Herd", []ratio{{over: "commands", times: float64(commands)}, {over: "s", times: took.Seconds()}}})
}

// BenchmarkRenewals: ten thousand leases are renewed, by batches and each by a call
// of its own: on one server, where a batch is one script, and on a cluster, where it is
// a pipeline for each node.
func BenchmarkRenewals(b *testing.B) {
	b.Run("single", func(b *testing.B) { renewing(b, redistest.Start(b).Client(b, roomy)) })
	b.Run("cluster", func(b *testing.B) {
		renewing(b, redistest.StartCluster(b).Client(b, func(o *redis.ClusterOptions) { o.PoolSize, o.ReadTimeout = 300, time.Minute }))
	})
}

func renewing(b *testing.B, rdb redis.UniversalClient) {
	b.Helper()
	st := openStore(b, rdb)
	renewals := held(b, st)
	together := func() {
		for start := 0; start < leases; start += store.MaxRenewals {
			for _, result := range st.Renew(b.Context(), renewals[start:min(start+store.MaxRenewals, leases)]) {
				require.NoError(b, result.Err)
			}
		}
	}
	alone := func() {
		var all sync.WaitGroup
		for _, r := range renewals {
			all.Go(func() { assert.NoError(b, renewAlone(b.Context(), rdb, r)) })
		}
		all.Wait()
	}
	together()
	alone() // connections, scripts
	var own, both []float64
	for range *rounds {
		ownT, srvT := cpuOf(b, rdb, together)
		ownA, srvA := cpuOf(b, rdb, alone)
		own, both = append(own, ownA/ownT), append(both, (ownA+srvA)/(ownT+srvT))
	}
	b.ReportMetric(median(own), "×client-cpu")
	b.ReportMetric(median(both), "×cpu")
	results.add(row{strings.TrimPrefix(b.Name(), "Benchmark"), []ratio{
		{over: "client CPU of a goroutine each", times: median(own)}, {over: "CPU of both", times: median(both)},
	}})
}

// held claims leases, and returns their renewals.
func held(b *testing.B, st store.Store) []store.Renewal {
	b.Helper()
	renewals := make([]store.Renewal, leases)
	for i := range renewals {
		claim := store.Claim{
			Owner: store.NewOwner(), Fingerprint: store.Fingerprint{Algorithm: "sha256-1"},
			Operation: "bench", Lease: time.Hour, Retention: retention,
		}
		id := store.NewID("s", "lease", freshKey())
		reply, err := st.Apply(b.Context(), id, claim)
		require.NoError(b, err)
		require.Equal(b, store.Claimed, reply.Verdict)
		renewals[i] = store.Renewal{ID: id, Renew: store.Renew{Owner: claim.Owner, Lease: time.Hour, Retention: retention}}
	}
	return renewals
}

// renewAlone is what a goroutine for each lease would send.
func renewAlone(ctx context.Context, rdb redis.UniversalClient, r store.Renewal) error {
	script := redis.NewScript(`if redis.call('GETRANGE', KEYS[1], 129, 160) == ARGV[1] then
		redis.call('SETRANGE', KEYS[1], 33, ARGV[2]) return redis.call('PEXPIRE', KEYS[1], ARGV[3]) end`)
	key := redisstore.DefaultNamespace + ":{" + r.ID.String() + "}"
	return script.Run(ctx, rdb, []string{key}, r.Owner.String(), "8999999999999999", r.Retention.Milliseconds()).Err()
}

// cpuOf returns the seconds of processor time that something takes this process and
// the server, or a cluster's masters.
func cpuOf(b *testing.B, rdb redis.UniversalClient, do func()) (own, server float64) {
	b.Helper()
	beforeOwn, beforeServer := ownCPU(b), serverCPU(b, rdb)
	do()
	return ownCPU(b) - beforeOwn, serverCPU(b, rdb) - beforeServer
}

func ownCPU(b *testing.B) float64 {
	b.Helper()
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func serverCPU(b *testing.B, rdb redis.UniversalClient) (seconds float64) {
	b.Helper()
	var mu sync.Mutex
	add := func(ctx context.Context, c *redis.Client) error {
		info, err := c.InfoMap(ctx, "cpu").Result()
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		seconds += number(b, info["CPU"]["used_cpu_sys"]) + number(b, info["CPU"]["used_cpu_user"])
		return nil
	}
	switch c := rdb.(type) {
	case *redis.Client:
		require.NoError(b, add(b.Context(), c))
	case *redis.ClusterClient:
		require.NoError(b, c.ForEachMaster(b.Context(), add))
	}
	return seconds
}

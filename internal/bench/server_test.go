package bench_test

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/store/redisstore"
)

// BenchmarkServer: the server's own limit, by redis-benchmark with 64 connections:
// a GET, and our claim of a completed record with all its arguments.
func BenchmarkServer(b *testing.B) {
	if _, err := exec.LookPath("redis-benchmark"); err != nil {
		b.Skip(err)
	}
	srv := redistest.Start(b)
	s := captured(b, srv.Client(b), 1<<10)
	var words []string
	for _, arg := range s.claim {
		if data, ok := arg.([]byte); ok {
			arg = string(data)
		}
		words = append(words, fmt.Sprint(arg))
	}
	get := perSecond(b, srv, "get", fmt.Sprint(s.get[1]))
	claim := perSecond(b, srv, words...)
	report(b, "GET", 1e9/get, 0)
	report(b, "claim", 1e9/claim, 0)
	results.add(row{"Server/claim", []ratio{{over: "GET", times: claim / get}}})
}

func perSecond(b *testing.B, srv *redistest.Server, words ...string) float64 {
	b.Helper()
	host, port, err := net.SplitHostPort(srv.Addr())
	require.NoError(b, err)
	args := append([]string{"-h", host, "-p", port, "-c", "64", "-n", "50000", "--csv"}, words...)
	out, err := exec.CommandContext(b.Context(), "redis-benchmark", args...).Output()
	require.NoError(b, err)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	last := strings.Split(lines[len(lines)-1], `","`)
	return number(b, last[1])
}

func number(b *testing.B, text string) float64 {
	b.Helper()
	n, err := strconv.ParseFloat(strings.Trim(text, `"`), 64)
	require.NoError(b, err, text)
	return n
}

// BenchmarkServerTime: how long a large replay keeps the server busy, beside a GET
// of the same size.
func BenchmarkServerTime(b *testing.B) {
	srv := redistest.Start(b)
	rdb := srv.Client(b, roomy)
	const size, calls = 1 << 20, 200
	handler := service(b, openStore(b, rdb), size, idempotency.Policy{MaxResponseBody: 2 << 20})
	replay := replaying(b, "", handler, ownKey).start(0)
	get := getting(b, rdb, size).start(0)
	busy := func(do func() error) float64 {
		_, seconds := cpuOf(b, rdb, func() {
			for range calls {
				require.NoError(b, do())
			}
		})
		return seconds
	}
	var ratios []float64
	for range *rounds {
		ratios = append(ratios, busy(replay)/busy(get))
	}
	b.ReportMetric(median(ratios), "×GET")
	results.add(row{"ServerTime/1MiB", []ratio{{over: "of a GET", times: median(ratios)}}})
}

// BenchmarkMemoryOfRecord: what a record takes in Redis beside its body.
func BenchmarkMemoryOfRecord(b *testing.B) {
	const fields = 64 // of the answer that are kept, with their names
	srv := redistest.Start(b)
	rdb := srv.Client(b)
	var all []ratio
	for _, size := range sizes {
		srv.FlushAll()
		handler := service(b, openStore(b, rdb), size, idempotency.Policy{MaxResponseBody: 2 << 20})
		require.NoError(b, newPoster(handler).post(oneKey(), executed))
		keys := srv.Keys(redisstore.DefaultNamespace + ":*")
		require.Len(b, keys, 1)
		used, err := rdb.MemoryUsage(b.Context(), keys[0]).Result()
		require.NoError(b, err)
		allowed := 1.25*float64(size+fields) + 450
		b.ReportMetric(float64(used), fmt.Sprintf("bytes-at-%d", size))
		all = append(all, ratio{over: fmt.Sprintf("allowed at %d B", size), times: float64(used) / allowed})
	}
	if b.N == 1 {
		results.add(row{"MemoryOfRecord", all})
	}
}

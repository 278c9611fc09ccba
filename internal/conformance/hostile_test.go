package conformance_test

import (
	"context"
	"encoding/hex"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/internal/testpb"
	"github.com/reprise-go/reprise/lock"
	"github.com/reprise-go/reprise/lock/redislock"
)

// hostileMark is in every hostile text, so that one that gets somewhere is found.
const hostileMark = "zz-mark"

// hostileTexts try to be something else than a key or a scope: another key, a
// pattern, a protocol, a script.
func hostileTexts() []string {
	return []string{
		hostileMark + "*", hostileMark + "?[a-z]", "{" + hostileMark + "}:x", "reprise:{" + hostileMark + "}",
		hostileMark + "}:owner", hostileMark + ":{" + strings.Repeat("0", 64) + "}",
		hostileMark + `"` + "'", hostileMark + `\`, hostileMark + "'] redis.call('FLUSHALL') --", hostileMark + "%d%s%n",
		hostileMark + "$(reboot)`id`", hostileMark + "<script>", hostileMark + "/../../etc", "__proto__" + hostileMark,
	}
}

// hostileScopes may hold any bytes: they come from code.
func hostileScopes() []string {
	return append(hostileTexts(), hostileMark+"\x00", hostileMark+"\r\nFLUSHALL\r\n", "*3\r\n$3\r\nDEL\r\n$1\r\n"+hostileMark,
		hostileMark+"\xff\xfe", hostileMark+strings.Repeat("x", 1<<20))
}

// scopeInHex brings scopes of any bytes through a header field.
func scopeInHex(text string) (string, error) {
	scope, err := hex.DecodeString(text)
	return string(scope), err
}

// TestF68_OnlyHexDigestsReachRedis sends hostile keys and scopes in every way there
// is, and reads every word that Redis is told.
func TestF68_OnlyHexDigestsReachRedis(t *testing.T) {
	t.Parallel()
	const ns = "hostile"
	srv := redistest.Start(t)
	monitor := srv.Monitor()
	operations := hostileOverHTTP(t, srv, ns) + hostileOverGRPC(t, srv, ns) + hostileFunctions(t, srv, ns)
	locks := hostileLocks(t, srv)

	name := regexp.MustCompile(`^(` + ns + `|reprise-lock):\{[0-9a-f]{64}\}(:([0-9a-f]{32}|probe))?$`)
	word := regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`)
	commands := monitor.Commands()
	for _, command := range commands {
		assert.NotContains(t, command, hostileMark)
		for _, m := range word.FindAllStringSubmatch(command, -1) {
			if strings.HasPrefix(m[1], ns+":") || strings.HasPrefix(m[1], "reprise-lock:") {
				assert.Regexp(t, name, m[1])
			}
		}
	}
	assert.Greater(t, len(commands), 4*(operations+locks))
	assert.Len(t, srv.Keys("*"), operations+locks, "each has a record of its own, and there is nothing else")
	assert.Empty(t, srv.Holding(hostileMark))
}

func hostileOverHTTP(t *testing.T, srv *redistest.Server, ns string) (operations int) {
	t.Helper()
	s := newService(t, setup{redis: srv.Client(t), namespace: ns, http: []idemhttp.Option{
		idemhttp.Scope(func(r *http.Request) (string, error) { return scopeInHex(r.Header.Get("X-Scope")) }),
	}})
	ask := func(scope, key string) {
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		header := http.Header{"X-Scope": {hex.EncodeToString([]byte(scope))}}
		if len(scope) > 1000 {
			return // no header is that long
		}
		requireExecuted(t, send(t, s.URL, call{key: quoted, header: header}))
		operations++
	}
	for _, key := range hostileTexts() {
		ask("tenant", key)
	}
	for _, scope := range hostileScopes() {
		ask(scope, "key")
	}
	return operations
}

func hostileOverGRPC(t *testing.T, srv *redistest.Server, ns string) (operations int) {
	t.Helper()
	s := newGRPC(t, grpcSetup{
		redis: srv.Client(t), namespace: ns,
		method: []idempotency.OperationOption{idemgrpc.KeyField("request_id")},
		options: []idemgrpc.Option{idemgrpc.Scope(func(ctx context.Context) (string, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			return md.Get("x-scope-bin")[0], nil
		})},
	})
	ask := func(scope, key string) {
		got := s.create(t.Context(), "", &testpb.Order{RequestId: key}, "x-scope-bin", scope)
		require.NoError(t, got.Status.Err())
		operations++
	}
	for _, key := range hostileTexts() {
		ask("tenant", key)
	}
	for _, scope := range hostileTexts() {
		ask(scope, "key")
	}
	return operations
}

func hostileFunctions(t *testing.T, srv *redistest.Server, ns string) (operations int) {
	t.Helper()
	guard := newService(t, setup{redis: srv.Client(t), namespace: ns}).Guard
	ask := func(scope, key string) {
		request := idempotency.Request{Operation: "orders.hostile", Scope: scope, Key: key, Input: hostileMark}
		_, _, err := idempotency.Do(t.Context(), guard, request, func(context.Context) (int, error) { return 1, nil })
		require.NoError(t, err)
		operations++
	}
	for _, key := range hostileTexts() {
		ask("tenant", key)
	}
	for _, scope := range hostileScopes() {
		ask(scope, "key")
	}
	return operations
}

func hostileLocks(t *testing.T, srv *redistest.Server) (locks int) {
	t.Helper()
	backend, err := redislock.New(srv.Client(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, backend.Close()) })
	locker, err := lock.New(backend)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, locker.Close()) })
	for _, key := range hostileTexts() {
		lease, err := locker.TryLock(t.Context(), key)
		require.NoError(t, err)
		require.NoError(t, lease.Release(t.Context()))
		locks++
	}
	return locks
}

// TestF67_PartsOfAnIdentityDoNotRunIntoEachOther asks, by real requests, for
// identities that are one text when their parts are put together, whatever the
// separator.
func TestF67_PartsOfAnIdentityDoNotRunIntoEachOther(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]idempotency.Option{"by default": nil, "strict keys": {idempotency.StrictKeys()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, setup{guard: options})
			identities := [][2]string{ // as if nothing stood between the parts, or the operation alone
				{"a", "bc"}, {"ab", "c"}, {"a", "POST /ordersk"}, {"aPOST /orders", "k"},
			}
			for i, separator := range []string{":", "::", "/", "//", "|", "||", "-", "."} {
				last := "c" + strconv.Itoa(i) // keeps the separators apart, and nothing else
				identities = append(identities, [2]string{"a", "b" + separator + last}, [2]string{"a" + separator + "b", last})
			}
			for _, parts := range identities {
				requireExecuted(t, send(t, s.URL, call{tenant: parts[0], key: `"` + parts[1] + `"`}))
			}
			assert.Equal(t, len(identities), s.Runs())
		})
	}
}

package conformance_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Why a scenario has no test yet.
const later = "needs something put off: SQL, OpenTelemetry, encryption, tombstones, circuit breaker, entropy policies, quotas, negative memory, recovery points, a published contract"

// row is one scenario. Level M must hold, S should, O is an opt-in. If partly is
// set, that much of it waits, and a test shows the rest.
type row struct{ id, level, what, waits, partly string }

func rows() []row {
	return []row{
		{"K1", "M", "No key, route required", "", ""},
		{"K2", "M", "No key, route optional, twice", "", ""},
		{"K3", "M", "Empty value, or '' quoted empty", "", ""},
		{"K4", "M", "Key sent bare, then the same characters in quotes", "", ""},
		{"K6", "M", "Unterminated quote, illegal escape, text after the closing quote", "", ""},
		{"K7", "S", "Quoted key with parameters ('k';a=1)", "", ""},
		{"K8", "M", "Two Idempotency-Key field lines, equal or different", "", ""},
		{"K9", "M", "Comma list in one line", "", ""},
		{"K10", "M", "255 characters / 256 characters", "", ""},
		{"K11", "M", "Control character, NUL, CR/LF attempt, non-ASCII, {/}/* glob characters", "", ""},
		{"K12", "M", "Surrounding spaces", "", ""},
		{"K13", "M", "Case-different keys, free-form policy", "", ""},
		{"K14", "S", "UUID policy on; upper and lower case of one UUID; malformed UUID; wrong version when …", "", ""},
		{"K15", "O", "Low-entropy policy on (1, test)", later, ""},
		{"K16", "S", "Middleware around a whole router, key on a route with no protection", "", ""},
		{"K17", "M", "Key on GET/HEAD/OPTIONS under global mounting", "", ""},
		{"K18", "S", "PUT, PATCH, DELETE enabled", "", ""},
		{"K19", "S", "Custom header name configured; standard header also sent", "", ""},
		{"R1", "M", "R with K,B then again", "", ""},
		{"R2", "M", "Body bytes", "", ""},
		{"R3", "M", "Location, ETag, Content-Type, Content-Language", "", ""},
		{"R4", "M", "Set-Cookie, WWW-Authenticate, hop-by-hop, Date, Server", "", ""},
		{"R6", "M", "Handler answers 204 or 304-like without body", "", ""},
		{"R7", "M", "Handler writes nothing (implicit 200)", "", ""},
		{"R8", "M", "Handler calls WriteHeader twice, or writes before WriteHeader", "", ""},
		{"R10", "S", "HTTP trailers declared and set", "", ""},
		{"R11", "M", "Compression middleware outside the library, clients with different Accept-Encoding", "", ""},
		{"R12", "S", "Compression inside", "", ""},
		{"R13", "M", "Handler mutated resource after first answer (state moved on)", "", ""},
		{"R14", "M", "Resource deleted inside the window, then retry", "", ""},
		{"R15", "S", "Replay adds no second span of business work, but links to the first trace", later, ""},
		{"R16", "S", "Replay freshness headers", "", ""},
		{"R17", "S", "CORS request", "", ""},
		{"R18", "M", "Async route: 202 with job URL, job later finishes, retry", "", ""},
		{"R19", "O", "Reference codec route (secret-issuing)", "", ""},
		{"F1", "M", "Same K, B then B' after completion", "", ""},
		{"F2", "M", "Same K, B running, B' arrives", "", ""},
		{"F3", "M", "422 body", "", ""},
		{"F4", "M", "Same K, other route", "", ""},
		{"F5", "M", "Same route pattern, other path value (/orders/1/refund, /orders/2/refund)", "", ""},
		{"F6", "M", "Same K, other query value; same query in another order", "", ""},
		{"F7", "M", "Same K, other method", "", ""},
		{"F8", "M", "JSON members reordered / reindented, canonical mode", "", ""},
		{"F9", "M", "Same in raw-bytes mode", "", ""},
		{"F10", "M", "null member vs absent member", "", ""},
		{"F12", "S", "Duplicate JSON member names; invalid UTF-8; trailing garbage", "", ""},
		{"F13", "S", "Unicode-equivalent strings (NFC/NFD)", "", ""},
		{"F14", "M", "Excluded field changed (timestamp, trace id)", "", ""},
		{"F15", "M", "Field listed through struct tag does not exist", "", ""},
		{"F16", "S", "Multipart with a new boundary, same parts", "", ""},
		{"F17", "M", "Body of 10 MiB (route limit raised) differing only in the last byte", "", ""},
		{"F18", "M", "Request body over the cap", "", ""},
		{"F20", "M", "Client sends a truncated body (connection cut)", "", ""},
		{"F21", "S", "Content-Type changes, bytes equal", "", ""},
		{"F22", "S", "Claim failed/released, then the same K with B'", "", ""},
		{"F23", "M", "Two nodes with different fingerprint settings during a rolling deploy", "", ""},
		{"C1", "M", "100 equal requests at once over 3 nodes, reject mode", "", ""},
		{"C2", "M", "409 carries Retry-After ≥1, code, retryable: true, safe_new_key: false", "", ""},
		{"C3", "M", "Wait mode, handler 1 s, wait 5 s", "", ""},
		{"C4", "M", "Wait mode, handler longer than wait", "", ""},
		{"C6", "M", "Owner fails with a releasable error while 5 wait", "", ""},
		{"C7", "M", "Completion notification lost (drop pub/sub)", "", ""},
		{"C8", "S", "Waiter cap reached", "", ""},
		{"C9", "M", "Claim refused, record vanishes before re-read", "", ""},
		{"C10", "M", "Completion happens between check and claim", "", ""},
		{"C11", "M", "Different keys, same payload, at once", "", ""},
		{"C12", "S", "Same process, 1 000 duplicates", "", ""},
		{"C13", "O", "Retry-After honoured by a correct client", "", ""},
		{"L1", "M", "Handler runs 5× the lease", "", ""},
		{"L2", "M", "kill -9 in the handler; retry before lease end", "", ""},
		{"L3", "M", "Same, retry after lease end, policy rerun, or rerun-unmarked with nothing marked", "", ""},
		{"L4", "M", "Same, policy refuse (the default), or rerun-unmarked with the effect marked", "", ""},
		{"L5", "S", "Same, with a reconcile callback", "", ""},
		{"L6", "M", "Crash after the work, before the record", "", ""},
		{"L7", "M", "Crash after the record, before the socket write", "", ""},
		{"L8", "M", "Stop-the-world pause longer than the lease (SIGSTOP), other node takes over, first resumes", "", ""},
		{"L9", "M", "Zombie's next renewal after takeover", "", ""},
		{"L10", "M", "Zombie's answer to its own client", "", ""},
		{"L11", "M", "Fencing token", "", ""},
		{"L12", "M", "Renewal answered with an error once, store back before expiry", "", ""},
		{"L13", "M", "Renewal impossible until expiry", "", ""},
		{"L14", "M", "Reconnect after outage; new claims", "", ""},
		{"L15", "M", "Handler hangs for ever", "", ""},
		{"L16", "M", "Claim times out at the client but is applied in Redis, at once or seconds later", "", ""},
		{"L17", "S", "10 000 concurrent leases", "", "a cluster's slots"},
		{"L18", "M", "Node clock off by ±1 h", "", ""},
		{"L19", "M", "Lease configured ≥ result TTL, or renewal interval ≥ lease", "", ""},
		{"L20", "S", "Fencing-aware SQL guard helper: stale token writes", later, ""},
		{"O1", "M", "Handler 500 / 502 / 503 / 504", "", ""},
		{"O2", "O", "Route opted into *store 5xx*", "", ""},
		{"O3", "M", "Handler 400/404/409/422 from business rules", "", ""},
		{"O4", "M", "Handler 401, 403, 408, 425, 429", "", ""},
		{"O5", "O", "Route opted into *success only*, handler 422, then healed state", "", ""},
		{"O6", "S", "3xx (303 to resource)", "", ""},
		{"O7", "M", "Handler panics, or calls runtime.Goexit, before any write", "", ""},
		{"O8", "M", "Panic after headers/body were written", "", ""},
		{"O10", "M", "Handler's context deadline exceeded or cancelled, handler answers 504 or 500", "", ""},
		{"O11", "M", "Library's own 409/422/400/503", "", ""},
		{"O12", "S", "Handler asks 'do not store' / 'store for 5 min' / 'release' through context", "", ""},
		{"O13", "M", "Effect marker set, then handler error", "", ""},
		{"O14", "O", "Error after partial commit, route policy *resume*", later, ""},
		{"O15", "O", "Retry storm on a failing route", later, ""},
		{"S1", "M", "Store unreachable at claim, closed policy", "", ""},
		{"S2", "O", "Same, open policy", "", ""},
		{"S3", "M", "Store hangs (no answer)", "", ""},
		{"S4", "M", "Store dies between claim and completion", "", ""},
		{"S5", "M", "Completion answer lost but applied", "", ""},
		{"S6", "M", "Read fails on duplicate", "", ""},
		{"S7", "S", "Replica promoted without the claim (failover)", "", ""},
		{"S8", "S", "Eviction policy not noeviction", "", ""},
		{"S9", "M", "FLUSHALL while a handler runs", "", ""},
		{"S10", "M", "Script cache flushed / restart (NOSCRIPT)", "", ""},
		{"S11", "M", "Cluster: MOVED/ASK, resharding", "", ""},
		{"S12", "M", "Record corrupt, foreign, or from a newer format", "", ""},
		{"S13", "M", "Read-only replica / OOM / loading errors", "", ""},
		{"S14", "S", "Circuit open", later, ""},
		{"S15", "M", "Memory fallback", "", ""},
		{"S16", "M", "Result TTL boundary (just before / just after)", "", ""},
		{"S17", "O", "Tombstones on, retry after window", later, ""},
		{"S18", "S", "Retention counted from completion, long handler", "", ""},
		{"Z1", "M", "Response exactly at cap / one byte over", "", ""},
		{"Z2", "M", "Truncated body is never replayed", "", ""},
		{"Z3", "O", "Route marked *spill* or bigger cap", "", "spill"},
		{"Z4", "S", "Memory use with 1 000 × 10 MiB answers", "", ""},
		{"Z5", "M", "Handler flushes (SSE) on a protected route", "", ""},
		{"Z6", "M", "http.ResponseController Flush/Deadline/EnableFullDuplex, io.ReaderFrom, http.Pusher …", "", ""},
		{"Z7", "M", "Hijack / upgrade", "", ""},
		{"Z8", "M", "Client disconnects in mid-handler", "", ""},
		{"Z9", "M", "Client disconnects while the answer is written", "", ""},
		{"Z10", "S", "Handler panics in a goroutine after return", "", ""},
		{"A1", "M", "P1 then P2 with the same K and B", "", ""},
		{"A2", "S", "Timing/status difference of a foreign vs unknown key", "", ""},
		{"A3", "M", "No scope configured", "", ""},
		{"A4", "M", "Scope empty at run time", "", ""},
		{"A5", "M", "Grant revoked, then replay", "", ""},
		{"A6", "M", "Token expired, then replay", "", ""},
		{"A7", "M", "Same session switches tenant", "", ""},
		{"A9", "M", "Redis dump", "", "encryption, and so that a record moved to another key fails authentication"},
		{"A10", "S", "Key rotation", later, ""},
		{"A11", "M", "Logs, spans, metrics labels", "", "spans"},
		{"A12", "S", "One principal inserts 10⁶ keys", later, ""},
		{"A13", "S", "Replayed problem for errors", "", ""},
		{"A14", "S", "Downstream key helper", "", ""},
		{"P1", "M", "Rate limiter outside denies (429), retry later", "", ""},
		{"P2", "S", "Limiter inside", "", ""},
		{"P3", "M", "Validation middleware outside rejects (400)", "", ""},
		{"P4", "M", "Middleware mounted twice", "", ""},
		{"P5", "S", "Internal call from handler to another protected route with the same key forwarded", "", ""},
		{"P6", "M", "Graceful shutdown with running handlers", "", ""},
		{"P7", "S", "Drain deadline passes", "", ""},
		{"P8", "M", "Rolling deploy v1→v2 with changed record schema", "", ""},
		{"P9", "S", "Policy changed (TTL, cap)", "", ""},
		{"P10", "S", "Observe mode", "", ""},
		{"P11", "M", "Two services sharing one Redis", "", ""},
		{"G1", "M", "Unary, key in metadata, twice", "", ""},
		{"G2", "M", "Key in request_id field (UUID4 annotated), upper/lower case", "", ""},
		{"G3", "M", "Metadata and field both present and different", "", ""},
		{"G4", "M", "Missing on a required method", "", ""},
		{"G5", "M", "Repeated metadata entries", "", ""},
		{"G6", "M", "Same key, other message", "", ""},
		{"G7", "M", "Same key while running", "", ""},
		{"G8", "M", "Client with hedging policy, 3 hedges", "", ""},
		{"G9", "S", "grpc-previous-rpc-attempts: 2 present", "", ""},
		{"G10", "M", "Handler returns deterministic error with rich details (NOT_FOUND, FAILED_PRECONDITION, …", "", ""},
		{"G11", "M", "UNAVAILABLE, RESOURCE_EXHAUSTED, ABORTED, UNAUTHENTICATED, PERMISSION_DENIED, …", "", ""},
		{"G12", "M", "Plain Go error from the handler (maps to UNKNOWN), INTERNAL, DATA_LOSS, CANCELLED, …", "", ""},
		{"G13", "S", "SetHeader, SetTrailer by handler", "", ""},
		{"G14", "S", "SendHeader before failing", "", ""},
		{"G15", "M", "Client cancels in mid-call", "", ""},
		{"G16", "M", "Client deadline shorter than the wait", "", ""},
		{"G17", "M", "Method declared no-side-effects", "", ""},
		{"G18", "M", "Streaming on a protected service", "", ""},
		{"G20", "M", "Map fields, Any, float NaN", "", ""},
		{"G21", "S", "Response type evolved between store and replay", "", ""},
		{"G22", "S", "Replay message larger than the send limit", "", ""},
		{"G23", "M", "Store down", "", ""},
		{"G24", "M", "Panic, Goexit", "", ""},
		{"G25", "M", "Two principals through peer certificate or metadata", "", ""},
		{"G26", "S", "grpc-gateway or Connect in front; HTTP header key forwarded", "", ""},
		{"G27", "S", "Reflection and health services", "", ""},
		{"X1", "S", "Status endpoint: running, done, unknown, absent", "", ""},
		{"X2", "M", "Status of a foreign key", "", ""},
		{"X3", "S", "Admin release of a stuck claim", "", ""},
		{"X4", "S", "Admin resolve of an unknown outcome with a supplied answer", "", ""},
		{"X5", "S", "Admin list", "", ""},
		{"X6", "M", "Metrics", "", ""},
		{"X7", "S", "Health probe", "", ""},
		{"X8", "S", "Client transport: retries with the same key on connection errors and 503, not on 422; …", "", ""},
		{"X9", "S", "Discovery document", later, ""},
		{"X10", "S", "Conformance runner against a deployed URL", later, ""},
	}
}

// TestEveryScenarioIsShownOrWaits looks for each scenario's id in the names of
// this package's tests, as in TestK1_… or TestF5_F6_…, in those of the topologies,
// and in those of the proofs whose dependencies this module does not want.
func TestEveryScenarioIsShownOrWaits(t *testing.T) {
	t.Parallel()
	shown := idsInTestNames(t, ".")
	maps.Copy(shown, idsInTestNames(t, "../proof/gateway"))
	maps.Copy(shown, idsInTestNames(t, "../topology"))
	for _, r := range rows() {
		switch {
		case r.waits == "":
			assert.True(t, shown[r.id], "no test has %s in its name: %s", r.id, r.what)
		case r.partly != "":
			assert.Fail(t, "a scenario waits as a whole or partly", r.id)
		case shown[r.id]:
			assert.Fail(t, "a waiting scenario has a test: take it off the list, or say which part waits", "%s: %s", r.id, r.what)
		}
	}
}

var (
	testName = regexp.MustCompile(`(?m)^func Test([A-Z]\d+_\w*)\(`)
	rowID    = regexp.MustCompile(`^[A-Z]\d+$`)
)

func idsInTestNames(t *testing.T, root string) map[string]bool {
	t.Helper()
	ids := make(map[string]bool)
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, match := range testName.FindAllStringSubmatch(string(source), -1) {
			for word := range strings.SplitSeq(match[1], "_") {
				if !rowID.MatchString(word) {
					break
				}
				ids[word] = true
			}
		}
		return err
	})
	require.NoError(t, err)
	return ids
}

package conformance_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// inJSON returns a policy under which JSON bodies count by what they say.
func inJSON(exclude ...string) idempotency.Policy {
	return idempotency.Policy{Fingerprint: idempotency.FingerprintJSON, FingerprintExclude: exclude}
}

// sendJSON sends a JSON body.
func sendJSON(t *testing.T, s *service, key, body string) response {
	t.Helper()
	return send(t, s.URL, call{key: key, body: body, header: http.Header{"Content-Type": {"application/json"}}})
}

// comparison is two bodies under one key.
type comparison struct {
	name, first, second string
	same                bool
}

func (c comparison) check(t *testing.T, s *service) {
	t.Helper()
	t.Run(c.name, func(t *testing.T) {
		key, before := newKey(), s.Runs()
		first := sendJSON(t, s, key, c.first)
		requireExecuted(t, first)
		second := sendJSON(t, s, key, c.second)
		if c.same {
			requireReplay(t, first, second)
		} else {
			requireProblem(t, second, 422, "idempotency_key_reused")
		}
		requireReplay(t, first, sendJSON(t, s, key, c.first))
		assert.Equal(t, before+1, s.Runs())
	})
}

func TestF8_F10_F12_F13_JSONBodiesCountByWhatTheySay(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{policy: inJSON()})
	for _, c := range []comparison{
		{"F8 members reordered", `{"a":1,"b":{"c":2,"d":[3]}}`, `{"b":{"d":[3],"c":2},"a":1}`, true},
		{"F8 reindented", `{"a":1,"b":2}`, "{\n  \"a\": 1,\n  \"b\": 2\n}\n", true},
		{"F8 numbers and strings in other spellings", `{"a":[100,1.0,-0],"b":"A/"}`, `{"a":[1e2,1,0],"b":"\u0041\/"}`, true},
		{"F8 elements reordered", `[1,2]`, `[2,1]`, false},
		{"F8 other value", `{"a":1}`, `{"a":2}`, false},
		{"F10 null and absent", `{"a":1,"b":null}`, `{"a":1}`, false},
		{"F12 duplicate names, the last one equal", `{"a":1,"a":2}`, `{"a":2}`, false},
		{"F12 duplicate names, the first one equal", `{"a":1,"a":2}`, `{"a":1}`, false},
		{"F12 duplicate names reindented: raw bytes", `{"a":1,"a":2}`, `{"a":1, "a":2}`, false},
		{"F12 duplicate names deep down", `{"x":[{"a":1,"\u0061":2}]}`, `{"x":[{"a":2}]}`, false},
		{"F12 invalid UTF-8", "{\"a\":\"\xff\"}", "{\"a\":\"\xfe\"}", false},
		{"F12 invalid UTF-8 and its replacement", "{\"a\":\"\xff\"}", "{\"a\":\"\ufffd\"}", false},
		{"F12 half a surrogate pair", `{"a":"\ud800"}`, `{"a":"\udbff"}`, false},
		{"F12 trailing garbage", `{"a":1}`, `{"a":1}x`, false},
		{"F12 a second document", `{"a":1}`, `{"a":1}{"b":2}`, false},
		{"F12 integers that one float64 holds", `{"a":9007199254740993}`, `{"a":9007199254740992}`, false},
		{"F12 fractions that one float64 holds", `{"a":0.1}`, `{"a":0.10000000000000001}`, false},
		{"F12 numbers out of range", `{"a":1e400}`, `{"a":1e401}`, false},
		{"F13 composed and decomposed", "{\"a\":\"caf\u00e9\"}", "{\"a\":\"cafe\u0301\"}", false},
	} {
		c.check(t, s)
	}
}

func TestF8_OtherMediaTypesCountByTheirBytes(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{policy: inJSON()})
	for contentType, same := range map[string]bool{
		"application/merge-patch+json":     true,
		"application/json; charset=utf-8":  true,
		"application/json; charset=utf-16": false,
		"text/plain":                       false,
	} {
		header := http.Header{"Content-Type": {contentType}}
		key := newKey()
		first := send(t, s.URL, call{key: key, body: `{"a":1}`, header: header})
		requireExecuted(t, first)
		second := send(t, s.URL, call{key: key, body: `{ "a": 1 }`, header: header})
		if same {
			requireReplay(t, first, second)
		} else {
			requireProblem(t, second, 422, "idempotency_key_reused")
		}
	}
}

func TestF14_PartsThatDoNotCount(t *testing.T) {
	t.Parallel()
	excluding := newService(t, setup{policy: inJSON("/sent_at", "/meta/trace~1id", "/items/0/note")})
	for _, c := range []comparison{
		{"time stamp changed", `{"n":1,"sent_at":"10:00"}`, `{"n":1,"sent_at":"10:01"}`, true},
		{"time stamp added", `{"n":1}`, `{"sent_at":1.23456789012345678,"n":1}`, true},
		{"trace id changed, escaped name", `{"meta":{"trace/id":1,"v":1}}`, `{"meta":{"trace/id":2,"v":1}}`, true},
		{"what stands beside it counts", `{"meta":{"trace/id":1,"v":1}}`, `{"meta":{"trace/id":1,"v":2}}`, false},
		{"within an array", `{"items":[{"sku":1,"note":"a"}]}`, `{"items":[{"sku":1,"note":"b"}]}`, true},
		{"in another element", `{"items":[{},{"note":"a"}]}`, `{"items":[{},{"note":"b"}]}`, false},
		{"the same name elsewhere", `{"x":{"sent_at":1}}`, `{"x":{"sent_at":2}}`, false},
		{"F12 what falls back to its bytes counts whole", `{"n":1,"n":1,"sent_at":1}`, `{"n":1,"n":1,"sent_at":2}`, false},
	} {
		c.check(t, excluding)
	}
	policy := idempotency.Policy{
		Fingerprint:        idempotency.FingerprintJSON,
		FingerprintOnly:    []string{"/amount", "/card"},
		FingerprintExclude: []string{"/card/cvc"},
	}
	choosing := newService(t, setup{policy: policy})
	for _, c := range []comparison{
		{"only: the rest changed", `{"amount":1,"note":"a"}`, `{"note":"b","amount":1}`, true},
		{"only: a chosen part changed", `{"amount":1}`, `{"amount":2}`, false},
		{"only: missing and null", `{"card":1}`, `{"card":1,"amount":null}`, false},
		{"only, then exclude", `{"amount":1,"card":{"n":1,"cvc":1}}`, `{"amount":1,"card":{"n":1,"cvc":2}}`, true},
		{"only, then exclude: the rest of it counts", `{"amount":1,"card":{"n":1}}`, `{"amount":1,"card":{"n":2}}`, false},
	} {
		c.check(t, choosing)
	}
}

func TestF14_HeadersThatCount(t *testing.T) {
	t.Parallel()
	s := newService(t, setup{policy: idempotency.Policy{FingerprintHeaders: []string{"x-api-version"}}})
	version := func(key string, lines ...string) call {
		return call{key: key, body: "B", header: http.Header{"X-Api-Version": lines, "X-Trace": {newKey()}}}
	}
	key := newKey()
	first := send(t, s.URL, version(key, "2"))
	requireExecuted(t, first)
	requireReplay(t, first, send(t, s.URL, version(key, "2")))
	for _, lines := range [][]string{{"3"}, {""}, {"2", "2"}, nil} {
		requireProblem(t, send(t, s.URL, version(key, lines...)), 422, "idempotency_key_reused")
	}
	assert.Equal(t, 1, s.Runs())
}

func TestF23_PlainAndConfiguredAlgorithmsDuringARollingDeploy(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	node := func(policy idempotency.Policy) *service { return newService(t, setup{namespace: ns, policy: policy}) }
	raw, canonical, excluding := node(idempotency.Policy{}), node(inJSON()), node(inJSON("/sent_at"))
	body := `{"n":1,"sent_at":1}`
	for _, test := range []struct {
		name          string
		first, second *service
		other         string // a body that the first node takes for another
	}{
		{"raw, then canonical", raw, canonical, `{ "n":1,"sent_at":1}`},
		{"canonical, then raw", canonical, raw, `{"n":1,"sent_at":2}`},
		{"raw, then excluding", raw, excluding, `{"n":1,"sent_at":2}`},
		{"canonical, then excluding", canonical, excluding, `{"n":1,"sent_at":2}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			key, before := newKey(), test.second.Runs()
			first := sendJSON(t, test.first, key, body)
			requireExecuted(t, first)
			requireReplay(t, first, sendJSON(t, test.second, key, body))
			requireProblem(t, sendJSON(t, test.second, key, test.other), 422, "idempotency_key_reused")
			assert.Equal(t, before, test.second.Runs(), "the record's own algorithm decides")
		})
	}
	// The record was made in the canonical form: another spelling is the same
	// request, for the raw node, too.
	key := newKey()
	first := sendJSON(t, canonical, key, body)
	requireReplay(t, first, sendJSON(t, raw, key, `{"sent_at":1.0, "n":1}`))
}

func TestF23_AnotherConfigurationNeitherRunsNorAnswersAMismatch(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	older := newService(t, setup{namespace: ns, policy: inJSON("/sent_at")})
	newer := newService(t, setup{namespace: ns, policy: inJSON("/sent_at", "/trace")})
	versioned := newService(t, setup{namespace: ns, policy: idempotency.Policy{FingerprintHeaders: []string{"X-Api-Version"}}})
	same := newService(t, setup{namespace: ns, policy: inJSON("/trace", "/sent_at")})
	key := newKey()
	first := sendJSON(t, older, key, `{"n":1,"sent_at":1}`)
	requireExecuted(t, first)
	for _, node := range []*service{newer, versioned} {
		for _, body := range []string{`{"n":1,"sent_at":1}`, `{"n":2}`} {
			requireProblem(t, sendJSON(t, node, key, body), 503, "record_unreadable")
		}
		assert.Zero(t, node.Runs())
	}
	requireReplay(t, first, sendJSON(t, older, key, `{"n":1,"sent_at":2}`))

	key = newKey()
	first = sendJSON(t, newer, key, `{"n":1,"trace":1}`)
	requireExecuted(t, first)
	requireReplay(t, first, sendJSON(t, same, key, `{"n":1,"trace":2}`))
	requireProblem(t, sendJSON(t, older, key, `{"n":1,"trace":1}`), 503, "record_unreadable")
}

func TestF23_FormerConfigurationIsStillCompared(t *testing.T) {
	t.Parallel()
	ns := namespaceOf(t)
	older := newService(t, setup{namespace: ns, policy: inJSON("/sent_at")})
	newer := newService(t, setup{
		namespace: ns, policy: inJSON("/sent_at", "/trace"),
		http: []idemhttp.Option{idemhttp.Scope(tenant), idemhttp.FormerFingerprints(inJSON("/sent_at"))},
	})
	key := newKey()
	first := sendJSON(t, older, key, `{"n":1,"sent_at":1}`)
	requireReplay(t, first, sendJSON(t, newer, key, `{"n":1,"sent_at":2}`))
	requireProblem(t, sendJSON(t, newer, key, `{"n":1,"trace":1}`), 422, "idempotency_key_reused")
	_, err := idemhttp.New(newer.Guard, idemhttp.GlobalScope(), idemhttp.FormerFingerprints(inJSON("/~")))
	require.ErrorContains(t, err, "FormerFingerprints: Policy.FingerprintExclude")
}

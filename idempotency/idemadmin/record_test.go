package idemadmin_test

import (
	"encoding/base64"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemadmin"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

func TestRecordPageSaysWhatIsKnown(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for key, fate := range map[string]string{"done": "", "lost": "unknown", "again": "release"} {
		d.post(key, fate)
	}
	for _, test := range []struct{ key, state, says string }{
		{"done", "completed", "The answer is recorded"},
		{"lost", "unknown", "ended without saying what happened"},
		{"again", "released", "nothing final happened"},
		{"never", "absent", "Nothing is known"},
	} {
		t.Run(test.key, func(t *testing.T) {
			t.Parallel()
			path := "/records/" + d.id(test.key).String()
			w := d.browse(path)
			assert.Equal(t, 200, w.Code)
			assert.Contains(t, w.Body.String(), `class="state `+test.state+`"`)
			assert.Contains(t, w.Body.String(), test.says)
			assert.NotContains(t, w.Body.String(), "acme")
			assert.NotContains(t, w.Body.String(), "<form", "read-only")
			w, body := d.call("GET", path, "")
			assert.Equal(t, 200, w.Code)
			assert.Equal(t, test.state, body["state"])
			assert.Equal(t, d.id(test.key).String(), body["id"])
		})
	}
}

func TestRecordIDThatIsNone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for _, id := range []string{"x", "abcd", d.id("k").String() + "00"} {
		assert.Equal(t, 404, d.browse("/records/"+id).Code)
		w, body := d.call("GET", "/records/"+id, "")
		assert.Equal(t, 404, w.Code)
		assert.Equal(t, "not_found", body["code"])
	}
}

func TestAnswersAreShownWithoutBodyUnlessAllowed(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]idemadmin.Option{"closed": nil, "open": {idemadmin.ShowAnswers()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, opts...)
			d.post("k", "")
			d.post("bin", "binary")
			path := "/records/" + d.id("k").String()
			page := d.browse(path).Body.String()
			_, body := d.call("GET", path, "")
			answer := body["answer"].(map[string]any)
			assert.InDelta(t, 201, answer["status"], 0)
			assert.InDelta(t, len("<b>secret answer</b>"), answer["bytes"], 0)
			assert.Equal(t, []any{"/pay/1"}, answer["header"].(map[string]any)["Location"])
			assert.Contains(t, page, "/pay/1")
			assert.NotContains(t, page, "<b>secret", "escaped, if shown at all")
			_, body = d.call("GET", "/records/"+d.id("bin").String(), "")
			binary := body["answer"].(map[string]any)["body_base64"]
			if name == "closed" {
				assert.NotContains(t, page, "secret answer")
				assert.Contains(t, page, "Bodies are not shown here")
				assert.Nil(t, answer["body"])
				assert.Nil(t, binary)
				return
			}
			assert.Contains(t, page, "&lt;b&gt;secret answer&lt;/b&gt;")
			assert.Equal(t, "<b>secret answer</b>", answer["body"])
			assert.Equal(t, base64.StdEncoding.EncodeToString([]byte{0, 1, 2, 0xFF}), binary)
			assert.Contains(t, d.browse("/records/"+d.id("bin").String()).Body.String(), "not text")
		})
	}
}

// Characters that reorder or hide others are seen, and do not work; programs get
// what was recorded.
func TestInvisibleCharactersAreShown(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idemadmin.ShowAnswers())
	d.post("k", "bidi")
	path := "/records/" + d.id("k").String()
	page := d.browse(path).Body.String()
	assert.Contains(t, page, `a\u{202E}b\u{2066}c\u{200B}d`+"\r\n\te")
	assert.Contains(t, page, `/pay/\u{202E}gnp.1`)
	assert.NotContains(t, page, "\u202e")
	assert.NotContains(t, page, "\u2066")
	_, body := d.call("GET", path, "")
	assert.Equal(t, "a\u202eb\u2066c\u200bd\r\n\te", body["answer"].(map[string]any)["body"])
}

func TestKeyIsFoundAndStandsNowhere(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post("order-1", "unknown")
	w := d.submit("/find", url.Values{"operation": {" " + operation}, "scope": {"acme"}, "key": {"order-1"}})
	assert.NotContains(t, w.Header().Get("Location"), "order-1")
	assert.NotContains(t, w.Header().Get("Location"), "acme")
	page := d.follow("/find", w).Body.String()
	assert.Contains(t, page, `class="state unknown"`)
	assert.Contains(t, page, d.id("order-1").String())
	assert.NotContains(t, page, "order-1<")
	assert.NotContains(t, page, "acme")

	_, body := d.call("POST", "/find", `{"operation":"`+operation+`","scope":"acme","key":"order-1"}`)
	assert.Equal(t, "unknown", body["state"])
	_, body = d.call("POST", "/find", `{"operation":"`+operation+`","scope":"umbra","key":"order-1"}`)
	assert.Equal(t, "absent", body["state"], "another scope's")
	_, body = d.call("POST", "/find", `{"id":"`+d.id("order-1").String()+`"}`)
	assert.Equal(t, "unknown", body["state"])
}

// A misspelled name looks like a key that was never seen.
func TestFindSaysThatTheOperationIsNotRegistered(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post("k", "")
	const note = "No operation of that name is registered here."
	for _, test := range []struct {
		name, operation, key string
		told                 bool
	}{
		{"misspelled", "POST /pays", "k", true},
		{"registered, never seen", operation, "never", false},
		{"registered and seen", operation, "k", false},
	} {
		w, body := d.call("POST", "/find", `{"operation":"`+test.operation+`","scope":"acme","key":"`+test.key+`"}`)
		assert.Equal(t, 200, w.Code, test.name)
		form := url.Values{"operation": {test.operation}, "scope": {"acme"}, "key": {test.key}}
		w = d.submit("/find", form)
		if !test.told {
			assert.Nil(t, body["note"], test.name)
			assert.NotContains(t, d.follow("/find", w).Body.String(), note, test.name)
			continue
		}
		assert.Equal(t, "absent", body["state"])
		assert.Equal(t, note, body["note"])
		assert.Equal(t, 200, w.Code)
		assert.Contains(t, w.Body.String(), note)
		assert.Contains(t, w.Body.String(), `class="state absent"`)
		assert.Contains(t, w.Body.String(), `class="brand" href="./"`)
	}
	_, body := d.call("POST", "/find", `{"id":"`+d.id("never").String()+`"}`)
	assert.Nil(t, body["note"], "no name was said")
}

func TestPageWords(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idemadmin.AllowSettling())
	d.post("lost", "unknown")
	d.post("done", "")
	list := d.browse("/").Body.String()
	assert.Contains(t, list, ">effect marked</span>")
	assert.Contains(t, list, `<th scope="col">Id</th>`)
	assert.Contains(t, list, `<option value="10m">10 min</option>`)
	assert.Contains(t, d.browse("/?older_than=90s").Body.String(), `<option value="90s" selected>1 min 30 s</option>`)
	lost := d.browse("/records/" + d.id("lost").String()).Body.String()
	assert.Contains(t, lost, "<strong>the next request with it runs the operation again</strong>")
	assert.Contains(t, lost, "<dt>Kept until</dt>")
	assert.Regexp(t, `<dt>Lease</dt><dd>\d+ (s|min)</dd>`, lost)
	done := d.browse("/records/" + d.id("done").String()).Body.String()
	assert.Contains(t, done, "The recorded answer")
	assert.NotContains(t, done, "Encoding")
}

func TestFindKnowsGlobalScopePartsAndUUIDs(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const upper, lower = "9F1C7B1E-58F5-4B0E-A5CE-0D3B6A2F4C11", "9f1c7b1e-58f5-4b0e-a5ce-0d3b6a2f4c11"
	ask := func(body string) any {
		_, got := d.call("POST", "/find", body)
		return got["id"]
	}
	assert.Equal(t, d.guard.ID("op", idemhttp.GlobalScopeName, "k").String(), ask(`{"operation":"op","key":"k"}`))
	assert.Equal(t, d.guard.PartID("op", "/a/b", "s", "k").String(), ask(`{"operation":"op","part":"/a/b","scope":"s","key":"k"}`))
	_, err := d.guard.Operation("uuids", idempotency.Policy{KeyFormat: idempotency.KeyUUID})
	require.NoError(t, err)
	assert.Equal(t, d.guard.ID("uuids", "acme", lower).String(), ask(`{"operation":"uuids","scope":"acme","key":"`+upper+`"}`))
	assert.Equal(t, d.id(upper).String(), ask(`{"operation":"`+operation+`","scope":"acme","key":"`+upper+`"}`), "a key of its own here")
}

func TestBadQuestions(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for body, says := range map[string]string{
		`{}`: "operation and a key", `{"operation":"x"}`: "operation and a key", `{"id":"zz"}`: "64 hexadecimal",
		`{"colour":"red"}`: "colour", `[]`: "JSON object", `{`: "JSON object",
	} {
		w, got := d.call("POST", "/find", body)
		assert.GreaterOrEqual(t, w.Code, 400, body)
		assert.Contains(t, got["detail"], says, body)
	}
	assert.Equal(t, 400, d.submit("/find", url.Values{"operation": {"x"}}).Code)
}

package idemadmin_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/reprise-go/reprise/idempotency/idemadmin"
	"github.com/reprise-go/reprise/store"
)

// What two readers could read differently is no decision.
func TestAmbiguousJSONDecidesNothing(t *testing.T) {
	t.Parallel()
	const whole = `"token":TOKEN,"by":"b","reason":"r"`
	answered := func(header string) string {
		return `{"decision":"complete",` + whole + `,"answer":{"status":201,"header":{` + header + `}}}`
	}
	for _, test := range []struct{ name, body string }{
		{"garbage behind", `{"decision":"release",` + whole + `} GARBAGE`},
		{"another object behind", `{"decision":"release",` + whole + `}{"decision":"purge"}`},
		{"repeated name", `{"decision":"complete","decision":"release",` + whole + `}`},
		{"repeated in another spelling", `{"decision":"complete","DECISION":"release",` + whole + `}`},
		{"another spelling", `{"Decision":"release",` + whole + `}`},
		{"a letter that folds", `{"deci` + "\u017f" + `ion":"release",` + whole + `}`},
		{"unknown name", `{"decision":"release","force":true,` + whole + `}`},
		{"no UTF-8", `{"decision":"release","by":"` + "\xff" + `",` + `"token":TOKEN,"reason":"r"}`},
		{"nothing", ` `},
		{"null", `null`},
		{"repeated field", answered(`"Location":["/1"],"Location":["/2"]`)},
		{"repeated field in another spelling", answered(`"Location":["/1"],"location":["/2"]`)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, idemadmin.AllowSettling())
			d.post("k", "unknown")
			w, got := d.call("POST", d.settlePath("k"), strings.ReplaceAll(test.body, "TOKEN", fmt.Sprint(int64(d.token("k")))))
			assert.Equal(t, 400, w.Code)
			assert.Equal(t, "invalid_request", got["code"])
			assert.Equal(t, store.Unknown, d.state("k"))
		})
	}
}

// A header field's value is what people write, and what is wrong is told in
// words of JSON.
func TestHeaderFieldsAndMistakesAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, body, says string }{
		{"one value", `"answer":{"status":201,"header":{"Location":"/x"}}`, ""},
		{"a list", `"answer":{"status":201,"header":{"Location":["/x"]}}`, ""},
		{"a number", `"answer":{"status":201,"header":{"Location":7}}`, "a string, or a list of strings, is expected at /answer/header/Location."},
		{"a list of numbers", `"answer":{"status":201,"header":{"Location":[7]}}`, "a string is expected at /answer/header/Location/0."},
		{"no header", `"answer":{"status":201,"header":"Location"}`, "an object is expected at /answer/header."},
		{"a status as text", `"answer":{"status":"201"}`, "a whole number is expected at /answer/status."},
		{"yes or no", `"running":"yes"`, "true or false is expected at /running."},
		{"half a status", `"answer":{"status":201.5}`, "a whole number is expected at /answer/status."},
		{"unknown name", `"answer":{"code":201}`, "the name at /answer/code is not known."},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, idemadmin.AllowSettling())
			d.post("k", "unknown")
			w, got := d.call("POST", d.settlePath("k"),
				fmt.Sprintf(`{"decision":"complete","token":%d,"by":"b","reason":"r",%s}`, d.token("k"), test.body))
			if test.says == "" {
				assert.Equal(t, 200, w.Code, got)
				assert.Equal(t, "/x", d.post("k", "unknown").Header().Get("Location"))
				return
			}
			assert.Equal(t, 400, w.Code)
			assert.Contains(t, got["detail"], test.says)
			assert.NotContains(t, got["detail"], "Go ")
			assert.Equal(t, store.Unknown, d.state("k"))
		})
	}
}

func TestJSONIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idemadmin.AllowSettling())
	d.post("k", "unknown")
	w, got := d.call("POST", "/find", `{"operation":"x","key":"a","KEY":"b"}`)
	assert.Equal(t, 400, w.Code)
	assert.Contains(t, got["detail"], "KEY")
	w, got = d.call("POST", d.settlePath("k"), fmt.Sprintf(" {\"decision\":\"release\",\"token\":%d,\"by\":\"b\",\"reason\":\"r\"}\r\n", d.token("k")))
	assert.Equal(t, 200, w.Code, got)
}

package storetest

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/reprise-go/reprise/store"
)

// sameRecord reports the fields in which two records differ. Expires may be
// off by [slack].
func (c *check) sameRecord(what string, got, want store.Record) {
	if diff := diffRecords(got, want); diff != "" {
		c.errorf("%s: %s", what, diff)
	}
}

// is reports a value that is not the wanted one.
func (c *check) is(what string, got, want any) {
	if got != want {
		c.errorf("%s is %v, want %v", what, got, want)
	}
}

// expires reports a record that will be forgotten at another time.
func (c *check) expires(want store.Instant) {
	if got := c.record().Expires; !near(got, want) {
		c.errorf("the record expires %v too late (if negative: too early)", got.Sub(want))
	}
}

func near(a, b store.Instant) bool { return a.Sub(b).Abs() <= slack }

func diffRecords(got, want store.Record) string {
	got, want = plain(got), plain(want)
	if near(got.Expires, want.Expires) {
		got.Expires = want.Expires
	}
	return diffFields(got, want)
}

func diffReplies(got, want store.Reply) string {
	got.Answer, want.Answer = plainAnswer(got.Answer), plainAnswer(want.Answer)
	return diffFields(got, want)
}

// plain makes no difference between nil and empty slices.
func plain(rec store.Record) store.Record {
	rec.Answer = plainAnswer(rec.Answer)
	return rec
}

func plainAnswer(a store.Answer) store.Answer {
	if len(a.Meta) == 0 {
		a.Meta = nil
	}
	if len(a.Body) == 0 {
		a.Body = nil
	}
	return a
}

// diffFields names the fields of two structs of one type that differ.
func diffFields[T any](got, want T) string {
	var diffs []string
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		a, b := g.Field(i).Interface(), w.Field(i).Interface()
		if !reflect.DeepEqual(a, b) {
			diffs = append(diffs, fmt.Sprintf("%s is %s, want %s", g.Type().Field(i).Name, brief(a), brief(b)))
		}
	}
	return strings.Join(diffs, "; ")
}

// brief prints a value without flooding the log with a body.
func brief(v any) string {
	if a, ok := v.(store.Answer); ok {
		return fmt.Sprintf("{codec %q, %d bytes meta, %d bytes body %s, %s}",
			a.Codec, len(a.Meta), len(a.Body), clip(fmt.Sprintf("%q", a.Body)), a.Omitted)
	}
	return clip(fmt.Sprintf("%v", v))
}

func clip(text string) string {
	const most = 64
	if len(text) <= most {
		return text
	}
	return text[:most] + "…"
}

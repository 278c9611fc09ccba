package idemhttp

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/store"
)

// errNoBody: the answer was recorded without its body and cannot be replayed.
var errNoBody = errors.New("answer has no body")

// writeReplay replays a recorded answer: on the wire it equals the first one in
// status, recorded fields, body and trailers. Fields that outer middleware has
// set stay, recorded ones of the same name take their place; only Vary is the
// union of both. Marks are the caller's, to be set before.
//
// Errors: errNoBody, with nothing written; else the client's write error.
func writeReplay(w http.ResponseWriter, r *http.Request, a answer, l *fieldLines) error {
	if a.omitted != store.BodyKept {
		return errNoBody
	}
	h := w.Header()
	replaceFields(h, a.header, l)
	fixRecordedType(h, a)
	if r.ProtoAtLeast(1, 1) && r.Method != http.MethodHead {
		declareTrailers(h, a.trailer)
	}
	w.WriteHeader(a.status)
	var err error
	if len(a.body) > 0 {
		err = writeAll(w, a.body)
	}
	setTrailers(w.Header(), a.trailer)
	return err
}

func replaceFields(h http.Header, fields []field, l *fieldLines) {
	outerVary := h.Values("Vary")
	for _, f := range fields {
		h.Del(f.name)
	}
	for _, f := range fields {
		l.add(h, f.name, f.value)
	}
	if len(h.Values("Vary")) == 0 {
		return
	}
	for _, value := range outerVary {
		if !slices.ContainsFunc(h.Values("Vary"), sameText(value)) {
			h.Add("Vary", value)
		}
	}
}

func sameText(a string) func(string) bool {
	return func(b string) bool { return strings.EqualFold(a, b) }
}

// fixRecordedType keeps the server from guessing a Content-Type that the first
// answer did not have: a guessed one is part of the record.
func fixRecordedType(h http.Header, a answer) {
	recorded := slices.ContainsFunc(a.header, func(f field) bool { return f.name == "Content-Type" })
	switch {
	case recorded:
	case len(a.body) > 0:
		h["Content-Type"] = nil
	default:
		h.Del("Content-Type")
	}
}

func declareTrailers(h http.Header, trailer []field) {
	for i, f := range trailer {
		if i == 0 || f.name != trailer[i-1].name {
			h.Add("Trailer", f.name)
		}
	}
}

func setTrailers(h http.Header, trailer []field) {
	for _, f := range trailer {
		h.Del(f.name)
	}
	for _, f := range trailer {
		h.Add(f.name, f.value)
	}
}

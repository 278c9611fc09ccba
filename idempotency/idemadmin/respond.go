package idemadmin

import (
	"bytes"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"path"
	"strings"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// refusal is an error with its status.
type refusal struct {
	status int
	code   string
	detail string
}

// Error returns the detail.
func (r refusal) Error() string { return r.detail }

func invalid(detail string) refusal {
	return refusal{http.StatusBadRequest, "invalid_request", detail}
}

// refusalOf puts an error of the guard into its status.
func refusalOf(err error) refusal {
	if r, ok := errors.AsType[refusal](err); ok {
		return r
	}
	switch {
	case errors.Is(err, idempotency.ErrSettleRefused):
		return refusal{http.StatusConflict, "settle_refused", "Refused: the record is not, or no longer, " +
			"what the decision was made on."}
	case errors.Is(err, store.ErrInvalid):
		return invalid("The store does not take that: " + err.Error())
	case errors.Is(err, idempotency.ErrRecordUnreadable):
		return refusal{http.StatusServiceUnavailable, string(idempotency.ErrRecordUnreadable),
			"There is a record that cannot be read: it is damaged, foreign or of a newer version. It was left as it is."}
	}
	return refusal{http.StatusServiceUnavailable, string(idempotency.ErrStoreUnavailable),
		"The store does not answer. Try again."}
}

// doubtful is for an error of a decision that was being sent.
func doubtful(err error) error {
	refused := refusalOf(err)
	if refused.code == string(idempotency.ErrStoreUnavailable) {
		refused.detail = "The store does not answer. The decision that was being sent may be in effect: look again."
	}
	return refused
}

// chrome is what all pages have.
type chrome struct {
	Title    string
	Style    template.CSS
	Root     string // the way to the first page
	Settling bool
	// Signs says that somebody else knows who asks, SignedIn who that is.
	Signs    bool
	SignedIn string
}

func (p *page) chrome(r *http.Request, title string) chrome {
	depth := strings.Count(r.URL.EscapedPath(), "/") - 1 // browsers count no %2F
	root := strings.Repeat("../", max(depth, 0))
	if root == "" {
		root = "./"
	}
	c := chrome{Title: title, Style: p.style, Root: root, Settling: p.opts.settling}
	if p.opts.operator != nil {
		c.Signs, c.SignedIn = true, p.operatorName(r)
	}
	return c
}

// wantsHTML tells a browser from a program.
func wantsHTML(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

func (p *page) html(w http.ResponseWriter, status int, name string, data any) {
	var out bytes.Buffer // a template that fails half-way must not be a whole page
	if err := p.templates.ExecuteTemplate(&out, name, data); err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = out.WriteTo(w)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) //nolint:errchkjson // whoever has gone asks again
}

func (p *page) fail(w http.ResponseWriter, r *http.Request, err error) {
	why := refusalOf(err)
	if wantsHTML(r) {
		p.html(w, why.status, "failed", struct {
			chrome
			Status int
			Detail string
		}{p.chrome(r, http.StatusText(why.status)), why.status, why.detail})
		return
	}
	writeProblem(w, why, nil)
}

// writeProblem says why not, and may show the record that it is about.
func writeProblem(w http.ResponseWriter, why refusal, about *recordView) {
	problem := map[string]any{
		"title": http.StatusText(why.status), "status": why.status, "code": why.code, "detail": why.detail,
	}
	if about != nil {
		problem["record"] = about
	}
	writeJSON(w, why.status, "application/problem+json", problem)
}

// seeOther redirects relatively: an absolute path would lose the prefix under
// which the page is mounted.
func seeOther(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// withSlash sends a browser that asks for the prefix alone to the prefix with a
// slash, as all links are relative to that.
func withSlash(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "" {
			next.ServeHTTP(w, r)
			return
		}
		asked, _, _ := strings.Cut(r.RequestURI, "?")
		seeOther(w, "./"+path.Base(asked)+"/")
	})
}

// cleanOnly refuses the paths that a mux redirects to a cleaner spelling: its
// redirects are absolute, and lead out of the prefix under which the page is
// mounted.
func (p *page) cleanOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isClean(r.URL.EscapedPath()) {
			p.fail(w, r, refusal{http.StatusNotFound, "not_found", "There is no such page."})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isClean(asked string) bool {
	clean := path.Clean("/" + asked)
	if clean != "/" && strings.HasSuffix(asked, "/") {
		clean += "/"
	}
	return asked == clean
}

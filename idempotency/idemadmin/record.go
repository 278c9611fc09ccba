package idemadmin

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store"
)

// shownBody is a recorded answer as far as it may be shown.
type shownBody struct {
	Status int         `json:"status,omitempty"`
	Header http.Header `json:"header,omitempty"`
	// Lines describe an answer of another transport.
	Lines []namedValue `json:"lines,omitempty"`
	Bytes int          `json:"bytes"`
	// Body or Base64 is set under ShowAnswers.
	Body   string `json:"body,omitempty"`
	Base64 string `json:"body_base64,omitempty"`
	// Trouble says why there is nothing to show.
	Trouble string `json:"trouble,omitempty"`
}

// Text is as much of the body as a page should hold, for people.
func (b shownBody) Text() string {
	if len(b.Body) <= mostShown {
		return visible(b.Body)
	}
	return visible(strings.ToValidUTF8(b.Body[:mostShown], "")) // not half a character
}

// Cut says that Text is not all.
func (b shownBody) Cut() bool { return len(b.Body) > mostShown }

const mostShown = 64 << 10

// NamedValues are the header fields in a fixed order, or the lines.
func (b shownBody) NamedValues() []namedValue {
	lines := b.Lines
	for _, name := range slices.Sorted(maps.Keys(b.Header)) {
		for _, value := range b.Header[name] {
			lines = append(lines, namedValue{name, value})
		}
	}
	return lines
}

type namedValue struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// record answers with all that is known of one operation.
func (p *page) record(w http.ResponseWriter, r *http.Request) {
	id, err := idOf(r.PathValue("id"))
	if err != nil {
		p.fail(w, r, err)
		return
	}
	view, err := p.look(r.Context(), id)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	if !wantsHTML(r) {
		writeJSON(w, http.StatusOK, "application/json", view)
		return
	}
	p.showRecord(w, r, http.StatusOK, view, recordPage{Done: p.doneText(r.URL.Query(), view)})
}

// idOf reads a record's id, which is what handlers know as their operation id.
func idOf(word string) (store.ID, error) {
	raw, err := hex.DecodeString(strings.TrimSpace(word))
	if err != nil || len(raw) != len(store.ID{}) {
		return store.ID{}, refusal{http.StatusNotFound, "not_found", "A record's id has 64 hexadecimal digits."}
	}
	return store.ID(raw), nil
}

func (p *page) look(ctx context.Context, id store.ID) (recordView, error) {
	status, err := p.guard.Lookup(ctx, id)
	if err != nil {
		return recordView{}, err
	}
	view := viewOf(status)
	view.ID = id.String()
	if status.State == store.Completed {
		view.Answer = p.shown(ctx, id)
	}
	return view, nil
}

// shown reads a recorded answer. That it cannot be shown must not hide the rest
// of the record.
func (p *page) shown(ctx context.Context, id store.ID) *shownBody {
	answer, err := p.guard.Answer(ctx, id)
	if answer.Codec == "" {
		return &shownBody{Trouble: refusalOf(err).detail}
	}
	out := &shownBody{Bytes: len(answer.Body)}
	if err = p.describe(out, answer); err != nil {
		out.Trouble = "The answer was not recorded by a transport that this page knows, or cannot be read."
	}
	if !p.opts.answers || len(answer.Body) == 0 {
		return out
	}
	if readable(answer.Body) {
		out.Body = string(answer.Body)
		return out
	}
	out.Base64 = base64.StdEncoding.EncodeToString(answer.Body)
	return out
}

// describe asks who knows answers of that transport.
func (p *page) describe(out *shownBody, answer store.Answer) (err error) {
	out.Status, out.Header, err = idemhttp.DescribeAnswer(answer)
	for _, describe := range p.opts.describe {
		if !errors.Is(err, idempotency.ErrResultUnavailable) {
			return err
		}
		out.Lines, err = described(describe(answer, p.opts.answers))
	}
	return err
}

func described(lines [][2]string, err error) ([]namedValue, error) {
	if err != nil {
		return nil, err
	}
	values := make([]namedValue, len(lines))
	for i, line := range lines {
		values[i] = namedValue{line[0], line[1]}
	}
	return values, nil
}

func readable(body []byte) bool {
	return utf8.Valid(body) && !strings.ContainsFunc(string(body), func(c rune) bool {
		return unicode.IsControl(c) && c != '\n' && c != '\r' && c != '\t'
	})
}

// recordPage is what the template of a record is given.
type recordPage struct {
	chrome

	Record      recordView
	ShowAnswers bool
	Done        string // what has just been decided
	Trouble     string // why a decision was refused
	Said        decision
	Who         [2]who // of the forms
}

// who is the part that all forms of a decision have.
type who struct {
	Token      int64
	Attempt    int
	State      string
	Running    bool
	AsksName   bool
	Operator   string
	By, Reason string
}

func (p *page) showRecord(w http.ResponseWriter, r *http.Request, status int, view recordView, data recordPage) {
	data.chrome = p.chrome(r, "Record "+view.Short())
	data.Record, data.ShowAnswers = view, p.opts.answers
	own := who{
		Token: view.Token, Attempt: view.Attempt, State: view.State,
		Running: view.State == store.Running.String(), AsksName: !data.Signs, Operator: data.SignedIn,
	}
	data.Who = [2]who{own, own}
	said := &data.Who[0]
	if data.Said.Decision == decideComplete {
		said = &data.Who[1]
	}
	said.By, said.Reason = data.Said.By, data.Said.Reason
	p.html(w, status, "record", data)
}

// freshly is how long a decision counts as one that has just been made.
const freshly = time.Minute

// doneText is for the redirect after a decision. The URL only asks for it: what
// is said must be so, or else a link from anybody, or a page opened again next
// week, would report a success that is none.
func (p *page) doneText(asked url.Values, now recordView) string {
	if !p.opts.settling || asked.Get("token") != strconv.FormatInt(now.Token, 10) {
		return ""
	}
	if now.Finished == nil || now.Finished.age() > freshly {
		return ""
	}
	switch asked.Get("settled") + " " + now.State {
	case decideRelease + " released":
		return "Released: the next request with this key runs."
	case decideComplete + " completed":
		return "Completed: duplicates get the supplied answer from now on."
	case decidePurge + " released":
		return "Purged: the answer is gone, and the next request with this key runs."
	}
	return ""
}

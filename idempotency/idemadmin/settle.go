package idemadmin

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/store"
)

// What can be decided.
const (
	decideRelease  = "release"
	decideComplete = "complete"
	decidePurge    = "purge"
)

// decision is what was posted: JSON, or a form with the same words.
type decision struct {
	Decision string    `json:"decision"`
	Token    int64     `json:"token"`
	Running  bool      `json:"running"`
	By       string    `json:"by"`
	Reason   string    `json:"reason"`
	Answer   *supplied `json:"answer"`
	// Attempt and State are what a form's page showed.
	Attempt int    `json:"-"`
	State   string `json:"-"`
}

// supplied is the answer that an operator found out.
type supplied struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
	Base64 string      `json:"body_base64"`
}

// ContentType and Location are two fields of a form.
func (s *supplied) ContentType() string { return s.Header.Get("Content-Type") }

// Location is where the result is.
func (s *supplied) Location() string { return s.Header.Get("Location") }

// settle carries out a decision about one record.
func (p *page) settle(w http.ResponseWriter, r *http.Request) {
	if !p.opts.settling {
		p.fail(w, r, refusal{http.StatusForbidden, "read_only", "This page is read-only: its service does not allow settling."})
		return
	}
	id, err := idOf(r.PathValue("id"))
	if err != nil {
		p.fail(w, r, err)
		return
	}
	var d decision
	isJSON, err := read(r, func() { d = p.decisionIn(r) }, &d)
	if err == nil {
		err = p.decide(r, id, d)
	}
	switch {
	case isJSON:
		p.answerJSON(w, r, id, err)
	case err != nil:
		p.refuse(w, r, id, d, err)
	default:
		seeOther(w, "../"+id.String()+"?settled="+d.Decision+"&token="+strconv.FormatInt(d.Token, 10))
	}
}

// answerJSON answers with the record as it is now, why ever it is so.
func (p *page) answerJSON(w http.ResponseWriter, r *http.Request, id store.ID, why error) {
	refused := errors.Is(why, idempotency.ErrSettleRefused)
	if why != nil && !refused {
		p.fail(w, r, why)
		return
	}
	view, err := p.look(r.Context(), id)
	switch {
	case refused && err != nil:
		p.fail(w, r, why)
	case refused:
		said := refusalOf(why)
		said.detail += thisIsNow
		writeProblem(w, said, &view)
	case err != nil:
		lost := refusalOf(err)
		lost.detail = "The decision is in effect, but the record cannot be shown: " + lost.detail
		p.fail(w, r, lost)
	default:
		writeJSON(w, http.StatusOK, "application/json", view)
	}
}

const thisIsNow = " This is what it is now."

// refuse shows the record as it is now, with what was typed.
func (p *page) refuse(w http.ResponseWriter, r *http.Request, id store.ID, d decision, why error) {
	view, err := p.look(r.Context(), id)
	if err != nil {
		p.fail(w, r, why)
		return
	}
	refused := refusalOf(why)
	if errors.Is(why, idempotency.ErrSettleRefused) {
		refused.detail += d.since(view) + thisIsNow
	}
	p.showRecord(w, r, refused.status, view, recordPage{Trouble: refused.detail, Said: d})
}

// since says what has become another than the form showed, as far as that is
// known.
func (d decision) since(now recordView) string {
	var changes []string
	if d.Attempt > 0 && now.Attempt > 0 && d.Attempt != now.Attempt {
		changes = append(changes, fmt.Sprintf("attempt %d → %d", d.Attempt, now.Attempt))
	}
	if seen, err := stateOf(d.State); err == nil && seen != store.Absent && d.State != now.State {
		changes = append(changes, "state "+d.State+" → "+now.State)
	}
	if changes == nil {
		return ""
	}
	return " Since then: " + strings.Join(changes, ", ") + "."
}

func (p *page) decisionIn(r *http.Request) decision {
	form := r.PostForm
	d := decision{
		Decision: form.Get("decision"), Running: form.Get("running") != "",
		Reason: form.Get("reason"), State: form.Get("state"),
	}
	if p.opts.operator == nil { // or else no form asks for it
		d.By = form.Get("by")
	}
	d.Token, _ = strconv.ParseInt(form.Get("token"), 10, 64) // 0 is nobody's token
	d.Attempt, _ = strconv.Atoi(form.Get("attempt"))         // 0 is nobody's attempt
	if d.Decision != decideComplete {
		return d
	}
	d.Answer = &supplied{Header: make(http.Header)}
	d.Answer.Status, _ = strconv.Atoi(form.Get("status")) // 0 is no status
	// Browsers end the lines of a text area with CR LF, whatever was typed.
	d.Answer.Body = strings.ReplaceAll(form.Get("body"), "\r\n", "\n")
	for field, name := range map[string]string{"content_type": "Content-Type", "location": "Location"} {
		if value := strings.TrimSpace(form.Get(field)); value != "" {
			d.Answer.Header.Set(name, value)
		}
	}
	return d
}

const (
	maxBy     = 200
	maxReason = 1000
)

// decide checks what only this page asks for, and hands the rest to the guard.
func (p *page) decide(r *http.Request, id store.ID, d decision) error {
	if p.opts.operator != nil {
		name := p.operatorName(r)
		switch {
		case name == "":
			return refusal{http.StatusForbidden, "nobody", "Nobody is signed in, and decisions are made under a name."}
		case d.By != "" && d.By != name:
			return invalid("by is not who is signed in: leave it out.")
		}
		d.By = name
	}
	d.By, d.Reason = strings.TrimSpace(d.By), strings.TrimSpace(d.Reason)
	switch {
	case d.By == "" || len(d.By) > maxBy:
		return invalid("Who decides? A name of at most 200 bytes.")
	case d.Reason == "" || len(d.Reason) > maxReason:
		return invalid("Why? A reason of at most 1000 bytes.")
	case d.Answer != nil && d.Decision != decideComplete:
		return invalid("Only a completion takes an answer.")
	case d.Token <= 0:
		return invalid("The token of the attempt is missing: a decision holds for one attempt.")
	}
	err := p.carryOut(r.Context(), id, d)
	if err == nil || errors.Is(err, idempotency.ErrSettleRefused) {
		return err
	}
	return doubtful(err)
}

// operatorName is the name of who asks, as much of it as a decision takes: an
// operator cannot change the name under which the authentication in front knows
// them.
func (p *page) operatorName(r *http.Request) string {
	name := p.opts.operator(r)
	name = strings.ToValidUTF8(name[:min(len(name), maxBy)], "") // not half a character
	return strings.TrimSpace(name)
}

func (p *page) carryOut(ctx context.Context, id store.ID, d decision) error {
	settlement := idempotency.Settlement{
		Token: store.Token(d.Token), Running: d.Running, By: d.By, Reason: d.Reason,
	}
	switch d.Decision {
	case decideRelease:
		settlement.Release = true
	case decideComplete:
		answer, err := d.Answer.answer()
		if err != nil {
			return invalid("The answer: " + err.Error() + ".")
		}
		settlement.Answer = &answer
	case decidePurge:
		return p.guard.Purge(ctx, id, settlement.Token, d.By, d.Reason)
	default:
		return invalid("The decision is release, complete or purge.")
	}
	return p.guard.Settle(ctx, id, settlement)
}

func (s *supplied) answer() (store.Answer, error) {
	if s == nil {
		return store.Answer{}, errors.New("it is missing")
	}
	if name := spelledTwice(s.Header); name != "" {
		return store.Answer{}, errors.New("the header field " + name + " is there in two spellings")
	}
	body := []byte(s.Body)
	if s.Base64 != "" {
		if s.Body != "" {
			return store.Answer{}, errors.New("body and body_base64 are both there")
		}
		var err error
		if body, err = base64.StdEncoding.DecodeString(s.Base64); err != nil {
			return store.Answer{}, errors.New("body_base64 is not base64")
		}
	}
	return idemhttp.NewAnswer(s.Status, s.Header, body)
}

// spelledTwice returns a name that stands in the header more than once: which of
// its values comes first would be anyone's guess.
func spelledTwice(header http.Header) string {
	seen := make(map[string]bool)
	for name := range header {
		name = http.CanonicalHeaderKey(name)
		if seen[name] {
			return name
		}
		seen[name] = true
	}
	return ""
}

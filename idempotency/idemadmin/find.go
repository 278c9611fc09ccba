package idemadmin

import (
	"context"
	"net/http"
	"strings"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"github.com/reprise-go/reprise/internal/keysyntax"
	"github.com/reprise-go/reprise/store"
)

// question is what is asked of the page: a record by its id, or a key.
type question struct {
	Operation string `json:"operation"`
	Part      string `json:"part"`
	Scope     string `json:"scope"`
	Key       string `json:"key"`
	ID        string `json:"id"`
}

// find answers what became of a key. It is a POST so that neither key nor scope
// stand in a URL, and so in nobody's log or history.
func (p *page) find(w http.ResponseWriter, r *http.Request) {
	var asked question
	isJSON, err := read(r, func() {
		asked.Operation, asked.Part = strings.TrimSpace(r.PostForm.Get("operation")), r.PostForm.Get("part")
		asked.Scope, asked.Key = r.PostForm.Get("scope"), r.PostForm.Get("key")
		asked.ID = r.PostForm.Get("id")
	}, &asked)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	id, err := p.idAsked(r.Context(), asked)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	_, known := p.guard.Registered(asked.Operation)
	p.tell(w, r, id, isJSON, known || asked.ID != "")
}

// tell answers with what was found. That nothing was, under a name that is not
// registered, is said at once and not after a redirect: its URL could not hold
// that without becoming a link that claims it.
func (p *page) tell(w http.ResponseWriter, r *http.Request, id store.ID, isJSON, known bool) {
	if known && !isJSON {
		seeOther(w, "records/"+id.String())
		return
	}
	view, err := p.look(r.Context(), id)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	if !known && view.State == store.Absent.String() {
		view.Note = "No operation of that name is registered here."
	}
	switch {
	case isJSON:
		writeJSON(w, http.StatusOK, "application/json", view)
	case view.Note != "":
		p.showRecord(w, r, http.StatusOK, view, recordPage{})
	default:
		seeOther(w, "records/"+id.String())
	}
}

func (p *page) idAsked(ctx context.Context, asked question) (store.ID, error) {
	if asked.ID != "" {
		return idOf(asked.ID)
	}
	if asked.Operation == "" || asked.Key == "" {
		return store.ID{}, invalid("An operation and a key are needed, or a record's id.")
	}
	if asked.Scope == "" {
		asked.Scope = idemhttp.GlobalScopeName
	}
	if op, ok := p.guard.Registered(asked.Operation); ok && op.Policy().KeyFormat != idempotency.KeyAny {
		asked.Key = strings.ToLower(asked.Key) // the other formats are UUIDs
	}
	return p.typedOrNormal(ctx, asked), nil
}

// typedOrNormal finds a UUID that was typed in another case than it counts in: a
// transport may take UUIDs from one place only, of which the policy says nothing.
func (p *page) typedOrNormal(ctx context.Context, asked question) store.ID {
	typed := p.guard.PartID(asked.Operation, asked.Part, asked.Scope, asked.Key)
	lower, err := keysyntax.Format(asked.Key, string(idempotency.KeyUUID))
	if err != nil || lower == asked.Key || p.knows(ctx, typed) {
		return typed
	}
	normal := p.guard.PartID(asked.Operation, asked.Part, asked.Scope, lower)
	if p.knows(ctx, normal) {
		return normal
	}
	return typed
}

// knows reports whether there is a record. That it cannot be told is said when
// the record is to be shown.
func (p *page) knows(ctx context.Context, id store.ID) bool {
	seen, err := p.guard.Lookup(ctx, id)
	return err == nil && seen.State != store.Absent
}

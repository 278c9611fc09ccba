package idemadmin

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

const (
	defaultRows = 50
	maxRows     = 500
	// searchCalls and searchRows bound how much of the store one page looks at
	// for the records of one scope or with the first digits of an id.
	searchCalls = 8
	searchRows  = 250
)

// filter says which records a listing shows.
type filter struct {
	query idempotency.Query
	// Scope and ID are the first hex digits of digests.
	Scope, ID string
}

// words are what a URL's query may say.
func words() []string {
	return []string{"operation", "state", "older_than", "younger_than", "scope", "id", "limit", "cursor"}
}

// readFilter reads the words of a URL's query. Errors name the word.
func readFilter(values url.Values) (filter, error) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(words(), name) {
			return filter{}, invalid("There is no filter " + strconv.Quote(name) + ". There are: " + strings.Join(words(), ", ") + ".")
		}
	}
	f := filter{Scope: strings.ToLower(values.Get("scope")), ID: strings.ToLower(values.Get("id"))}
	f.query = idempotency.Query{Operation: values.Get("operation"), Cursor: values.Get("cursor"), Limit: defaultRows}
	var err error
	if f.query.State, err = stateOf(values.Get("state")); err != nil {
		return f, err
	}
	for name, into := range map[string]*time.Duration{"older_than": &f.query.OlderThan, "younger_than": &f.query.YoungerThan} {
		if *into, err = age(name, values.Get(name)); err != nil {
			return f, err
		}
	}
	if word := values.Get("limit"); word != "" {
		f.query.Limit, err = strconv.Atoi(word)
		if err != nil || f.query.Limit < 1 || f.query.Limit > maxRows {
			return f, invalid("limit is a number from 1 to 500.")
		}
	}
	if !digits(f.Scope) || !digits(f.ID) {
		return f, invalid("scope and id are the first hexadecimal digits of a digest.")
	}
	return f, nil
}

func stateOf(word string) (store.State, error) {
	if word == "" {
		return store.Absent, nil
	}
	for _, state := range states() {
		if state.String() == word {
			return state, nil
		}
	}
	return store.Absent, invalid("state is running, unknown, completed or released.")
}

// states are in the order in which they want attention.
func states() []store.State {
	return []store.State{store.Unknown, store.Running, store.Released, store.Completed}
}

func age(name, word string) (time.Duration, error) {
	if word == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(word)
	if err != nil || d < 0 {
		return 0, invalid(name + " is a duration such as 90s, 10m or 24h.")
	}
	return d, nil
}

func digits(s string) bool {
	return len(s) <= 2*len(store.ID{}) && strings.Trim(s, "0123456789abcdef") == ""
}

func (f filter) narrow() bool { return f.Scope != "" || f.ID != "" }

func (f filter) wants(s idempotency.Status) bool {
	return strings.HasPrefix(hex.EncodeToString(s.Scope[:]), f.Scope) && strings.HasPrefix(s.ID.String(), f.ID)
}

// search lists, and where few records are wanted ones looks at some more pages.
func (p *page) search(ctx context.Context, f filter) (idempotency.Listing, error) {
	if !f.narrow() {
		return p.guard.List(ctx, f.query)
	}
	wanted := f.query.Limit
	f.query.Limit = searchRows
	out := idempotency.Listing{Next: f.query.Cursor}
	for range searchCalls {
		f.query.Cursor = out.Next
		part, err := p.guard.List(ctx, f.query)
		if err != nil {
			return idempotency.Listing{}, err
		}
		out.Next = part.Next
		out.Unreadable += part.Unreadable
		out.Records = append(out.Records, slices.DeleteFunc(part.Records, func(s idempotency.Status) bool { return !f.wants(s) })...)
		if out.Next == "" || len(out.Records) >= wanted {
			break
		}
	}
	return out, nil
}

// list answers with the records that a filter wants.
func (p *page) list(w http.ResponseWriter, r *http.Request) {
	f, err := readFilter(r.URL.Query())
	if err != nil {
		p.fail(w, r, err)
		return
	}
	found, err := p.search(r.Context(), f)
	if f.query.Cursor != "" && errors.Is(err, store.ErrInvalid) {
		err = invalid("The cursor is not one of this store: begin again.")
	}
	if err != nil {
		p.fail(w, r, err)
		return
	}
	views := make([]recordView, 0, len(found.Records))
	for _, s := range found.Records {
		views = append(views, viewOf(s))
	}
	if r.URL.Path == "/" || wantsHTML(r) {
		p.html(w, http.StatusOK, "list", p.listing(r, f, found, views))
		return
	}
	writeJSON(w, http.StatusOK, "application/json", map[string]any{
		"records": views, "unreadable": found.Unreadable, "next": found.Next,
	})
}

// listPage is what the template of a listing is given.
type listPage struct {
	chrome
	filter

	Query      map[string]string
	Operations []string
	Overrides  []idempotency.Overridden
	Tabs       []tab
	Ages       []choice
	Rows       []recordView
	Unreadable int
	Next       string // where the listing goes on, "" at its end
	Paged      bool   // it does not begin at the beginning
	Filtered   bool
	Refined    bool // by more than the state
	Sorted     bool // more than one state, on more than one page
}

// tab is one state to look at, or all.
type tab struct {
	Name, Href string
	Current    bool
}

type choice struct{ Value, Text string }

func (p *page) listing(r *http.Request, f filter, found idempotency.Listing, rows []recordView) listPage {
	values := r.URL.Query()
	query := make(map[string]string)
	for _, name := range words() {
		query[name] = values.Get(name)
	}
	l := listPage{
		chrome: p.chrome(r, "Operations"), filter: f, Query: query,
		Operations: p.guard.Operations(), Overrides: p.guard.Overrides(), Tabs: tabs(values), Ages: ages(values), Rows: rows,
		Unreadable: found.Unreadable, Paged: f.query.Cursor != "",
		Refined: f.narrow() || f.query.Operation != "" || f.query.OlderThan+f.query.YoungerThan > 0,
	}
	l.Filtered = l.Refined || f.query.State != store.Absent
	if found.Next != "" {
		l.Next = with(values, "cursor", found.Next)
		l.Sorted = f.query.State == store.Absent
	}
	byAttention(rows)
	return l
}

// byAttention sorts a page: what needs a decision first, then the newest.
func byAttention(rows []recordView) {
	rank := make(map[string]int)
	for i, state := range states() {
		rank[state.String()] = i
	}
	slices.SortFunc(rows, func(a, b recordView) int {
		return cmp.Or(cmp.Compare(rank[a.State], rank[b.State]), b.started().Compare(a.started()), strings.Compare(a.ID, b.ID))
	})
}

func tabs(values url.Values) []tab {
	current := values.Get("state")
	list := make([]tab, 0, len(states())+1)
	list = append(list, tab{"All", with(values, "state", ""), current == ""})
	for _, state := range states() {
		word := state.String()
		list = append(list, tab{strings.ToUpper(word[:1]) + word[1:], with(values, "state", word), current == word})
	}
	return list
}

// with is a link to the same listing from its beginning, with one word changed.
func with(values url.Values, name, value string) string {
	link := make(url.Values)
	for n, v := range values {
		if n != "cursor" && len(v) > 0 && v[0] != "" {
			link[n] = v[:1]
		}
	}
	link.Set(name, value)
	if value == "" {
		link.Del(name)
	}
	return "?" + link.Encode()
}

// ages are the choices of a form, with those of the URL if they are others.
func ages(values url.Values) []choice {
	list := []string{"1m", "10m", "1h", "24h"}
	for _, name := range []string{"older_than", "younger_than"} {
		if own := values.Get(name); own != "" && !slices.Contains(list, own) {
			list = append(list, own)
		}
	}
	choices := make([]choice, 0, len(list))
	for _, value := range list {
		d, _ := time.ParseDuration(value) // it has been read before
		choices = append(choices, choice{value, exact(d)})
	}
	return choices
}

package idemhttp_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// Request types, named like the mistake that is in them.
type (
	unknownWord struct {
		ID string `idempotency:"kee"`
	}
	twoKeys struct {
		ID    string `idempotency:"key"`
		Other string `idempotency:"key"`
	}
	floatKey struct {
		ID float64 `idempotency:"key"`
	}
	hiddenKey struct {
		id string `idempotency:"key"`
	}
	chosenAndExcluded struct {
		Amount  int    `idempotency:"fingerprint"`
		Comment string `idempotency:"-"`
	}
	keyBelowSlice struct {
		Lines []struct {
			ID string `idempotency:"key"`
		}
	}
	recursive struct {
		ID   string `idempotency:"key"`
		Next *recursive
	}
	placeless struct {
		ID string `path:"" json:"-"`
	}
	pathInBody struct {
		ID string `path:"id"`
	}
	pathAndQuery struct {
		ID string `path:"id" query:"id" json:"-"`
	}
	floatPath struct {
		ID float64 `path:"id" json:"-"`
	}
	hiddenPath struct {
		id string `path:"id" json:"-"`
	}
	pathBelow struct {
		Card struct {
			ID string `path:"id" json:"-"`
		}
	}
	misspeltPlace struct {
		ID string `pth:"id" json:"-"`
	}
	misspeltQuery struct {
		Page int `Query:"page" json:"-"`
	}
	twoPaths struct {
		ID string `path:"id" path:"payment" json:"-"` //nolint:staticcheck // that is the mistake
	}
	otherPath struct {
		ID string `path:"paiment" json:"-"`
	}
	base     struct{ ID string }
	basePath struct {
		ID string `path:"id" json:"-"`
	}
	embedsPointer     struct{ *base }
	embedsPointerPath struct {
		*basePath `json:"-"`
	}
	embedsBelow  struct{ Lines []embedsPointer }
	queryUnasked struct {
		Trace string `query:"trace" json:"-" idempotency:"-"`
	}
	spacedQuery struct {
		ID string `query:" id" json:"-"`
	}
	omittedQuery struct {
		ID string `query:"id,omitempty" json:"-"`
	}
	scopeUnasked struct {
		Tenant string `path:"id" json:"-" idempotency:"scope, -"`
	}
	twoQueries struct {
		From string `query:"id" json:"-"`
		To   string `query:"id" json:"-"`
	}
	outshonePath struct {
		basePath
		ID string `json:"ident"`
	}
	lostPath struct {
		basePath
		base
	}
	pathInSlice struct {
		Lines map[string][]*basePath
	}
	pathLeftOut struct {
		Place basePath `json:"-"`
	}
	chosenPath struct {
		ID     string `path:"id" json:"-" idempotency:"fingerprint"`
		Amount int
	}
	readsAll struct {
		Comment string `idempotency:"-"`
	}
	readsPart struct{ Note **readsAll }
	unsetKey  struct {
		ID string `json:"-" idempotency:"key"`
	}
	unsetScope struct {
		Head struct {
			Tenant string `idempotency:"scope"`
		} `json:"-"`
	}
	Keyed struct {
		ID string `idempotency:"key"`
	}
	Named struct {
		ID string
	}
	outshoneKey struct {
		Keyed
		ID string
	}
	lostKey struct {
		Keyed
		Named
	}
	readsError struct{ Err error }
	readsInto  struct {
		Trace io.Reader `json:"trace" idempotency:"-"`
	}
	readsChan struct{ Lines []struct{ Done chan int } }
	readsFunc struct {
		Then map[string]func() `idempotency:"-"`
	}
	readsComplex struct{ Value *complex128 }
	readsKeys    struct{ By map[plain]int }
	readsHidden  struct {
		Money  struct{ cents int }
		Amount int
	}
	hiddenAll struct{ amount int }
	readsLike struct {
		readsAlone
		Amount int
	}
	readsLikeText struct {
		*netip.Addr
		Amount int
	}
	readsNeither struct {
		readsAlone
		readsOther
		Amount int
	}
	readsDeep struct{ Lines []readsLike }
	plain     struct{ Amount int }
	commented struct {
		ID      string `idempotency:"key"`
		Comment string `idempotency:"-"`
	}
)

// readsAlone reads itself, and nothing beside it.
type readsAlone struct{ Who string }

type readsOther readsAlone

func (*readsOther) UnmarshalJSON([]byte) error { return nil }
func (*readsAlone) UnmarshalJSON([]byte) error { return nil }

func (r *readsAll) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &r.Comment) }

// typed is a typed handler that is never reached.
func typed[Req any](opts ...idemhttp.JSONOption) http.Handler {
	return idemhttp.JSON(func(context.Context, Req) (plain, error) { return plain{}, nil }, opts...)
}

// F15, F58: whoever mounts the handler hears of it, and a request that comes all
// the same is not served.
func TestJSON_WrongRequestStructsAreFoundAtConstruction(t *testing.T) {
	t.Parallel()
	_ = []any{hiddenKey{id: ""}, hiddenPath{id: ""}, hiddenAll{amount: 0}, readsHidden{Money: struct{ cents int }{cents: 0}}}
	tell := func(http.ResponseWriter, *http.Request, error) {}
	const unset = `no request can set it: JSON leaves the field out, or another has its name, and it has no tag path or query`
	tests := []struct {
		name    string
		handler http.Handler
		want    string
	}{
		{"no such word", typed[unknownWord](), `JSON: unknownWord.ID: idempotency:"kee": there is no word "kee"; the nearest is "key"`},
		{"two keys", typed[twoKeys](), `JSON: twoKeys.Other: idempotency:"key": twoKeys.ID is the key already`},
		{"a key without a text form", typed[floatKey](), `JSON: floatKey.ID: idempotency:"key": float64 has no text form: it must be a string, an integer, or an encoding.TextMarshaler`},
		{"unexported", typed[hiddenKey](), `JSON: hiddenKey.id: idempotency:"key": the field is not exported`},
		{"chosen and excluded", typed[*chosenAndExcluded](), `JSON: chosenAndExcluded.Amount: idempotency:"fingerprint": chosenAndExcluded.Comment has "-"; what does not count is either what is not chosen or what is excluded`},
		{"below a slice", typed[keyBelowSlice](), `JSON: keyBelowSlice.Lines.ID: idempotency:"key": it is below a slice, where no tag has an effect`},
		{"recursive", typed[recursive](), `JSON: recursive.Next: idemhttp_test.recursive contains itself, and its tags cannot hold at every depth`},
		{"no struct", typed[[]plain](), `JSON: the type of the request is []idemhttp_test.plain, not a struct or a pointer to one`},
		{"an interface", typed[any](), `JSON: the type of the request is interface {}, not a struct or a pointer to one`},
		{"an embedded pointer, B9", typed[embedsPointer](), `JSON: embedsPointer.base: the embedded pointer is to a type that is not exported, so that no request can set it: embed idemhttp_test.base itself`},
		{"an embedded pointer with a place, B9", typed[embedsPointerPath](), `JSON: embedsPointerPath.basePath: the embedded pointer is to a type that is not exported, so that no request can set it: embed idemhttp_test.basePath itself`},
		{"an embedded pointer below a slice, B9", typed[embedsBelow](), `JSON: embedsBelow.Lines.base: the embedded pointer is to a type that is not exported, so that no request can set it: embed idemhttp_test.base itself`},
		{"a query that is not to count", typed[queryUnasked](), `JSON: queryUnasked.Trace: query:"trace": idempotency:"-": the path and the query always count`},
		{"a tag in a type that reads itself", typed[readsAll](), `JSON: readsAll.Comment: idempotency: it is in a type that reads its own JSON, so that nobody knows which member it is`},
		{"a tag below a type that reads itself", typed[readsPart](), `JSON: readsPart.Note.Comment: idempotency: it is in a type that reads its own JSON, so that nobody knows which member it is`},
		{"a key that no request sets", typed[unsetKey](), `JSON: unsetKey.ID: idempotency:"key": ` + unset},
		{"a scope that no request sets", typed[unsetScope](), `JSON: unsetScope.Head.Tenant: idempotency:"scope": ` + unset},
		{"a key that is hidden by another member", typed[outshoneKey](), `JSON: Keyed.ID: idempotency:"key": ` + unset},
		{"a key that has another's name", typed[lostKey](), `JSON: Keyed.ID: idempotency:"key": ` + unset},
		{"an error", typed[readsError](), `JSON: readsError.Err: error is an interface with methods, and JSON cannot know what to read into it`},
		{"a reader that does not count", typed[readsInto](), `JSON: readsInto.Trace: io.Reader is an interface with methods, and JSON cannot know what to read into it`},
		{"a chan below a slice", typed[readsChan](), `JSON: readsChan.Lines.Done: JSON cannot read a chan: leave it out by json:"-"`},
		{"a func below a map", typed[*readsFunc](), `JSON: readsFunc.Then: JSON cannot read a func: leave it out by json:"-"`},
		{"a complex number", typed[readsComplex](), `JSON: readsComplex.Value: JSON cannot read a complex128: leave it out by json:"-"`},
		{"keys that are structs", typed[readsKeys](), `JSON: readsKeys.By: the keys of the map are idemhttp_test.plain, and JSON reads strings, integers, and types with an UnmarshalText`},
		{"a member with nothing exported", typed[readsHidden](), `JSON: readsHidden.Money: JSON reads nothing into a struct { cents int }: export its fields, give it an UnmarshalJSON, or leave it out by json:"-"`},
		{"nothing exported", typed[hiddenAll](), `JSON: hiddenAll: JSON reads nothing into a idemhttp_test.hiddenAll: export its fields, give it an UnmarshalJSON, or leave it out by json:"-"`},
		{"a method of what it embeds", typed[readsLike](), `JSON: readsLike: idemhttp_test.readsLike has its UnmarshalJSON from what it embeds, and its other fields are not read: give the embedded field a name`},
		{"a text of what it embeds, by pointer", typed[*readsLikeText](), `JSON: readsLikeText: idemhttp_test.readsLikeText has its UnmarshalText from what it embeds, and its other fields are not read: give the embedded field a name`},
		{"a method of what it embeds, below", typed[readsDeep](), `JSON: readsDeep.Lines: idemhttp_test.readsLike has its UnmarshalJSON from what it embeds, and its other fields are not read: give the embedded field a name`},
		{
			"two embedded that read themselves", typed[readsNeither](),
			"JSON: readsNeither.readsAlone: idemhttp_test.readsAlone reads its own JSON, which it cannot where it is embedded: give the field a name\n" +
				"readsNeither.readsOther: idemhttp_test.readsOther reads its own JSON, which it cannot where it is embedded: give the field a name",
		},
		{"an answer that has no JSON form", idemhttp.JSON(func(context.Context, plain) (chan int, error) { return nil, nil }), `JSON: chan int: a chan has no JSON form`},
		{"no name", typed[placeless](), `JSON: placeless.ID: path:"": the name is empty`},
		{"from path and body", typed[pathInBody](), `JSON: pathInBody.ID: path:"id": the body could set it, too: say json:"-"`},
		{"from path and query", typed[pathAndQuery](), `JSON: pathAndQuery.ID: path and query: a value comes from one place`},
		{"no text", typed[floatPath](), `JSON: floatPath.ID: path:"id": float64 cannot be read from text: it must be a string, an integer, a bool, or an encoding.TextUnmarshaler`},
		{"a misspelt place", typed[misspeltPlace](), `JSON: misspeltPlace.ID: there is no tag "pth"; the nearest is "path"`},
		{"a place in capitals", typed[misspeltQuery](), `JSON: misspeltQuery.Page: there is no tag "Query"; the nearest is "query"`},
		{"a place twice", typed[twoPaths](), `JSON: twoPaths.ID: the tag "path" is there twice`},
		{"unexported place", typed[hiddenPath](), `JSON: hiddenPath.id: path:"id": the field is not exported`},
		{"a place below", typed[pathBelow](), `JSON: pathBelow.Card.ID: path and query are for the fields of the request itself`},
		{"a place below a map", typed[pathInSlice](), `JSON: pathInSlice.Lines.ID: path and query are for the fields of the request itself`},
		{"a place in what the body leaves out", typed[pathLeftOut](), `JSON: pathLeftOut.Place.ID: path and query are for the fields of the request itself`},
		{"a place that is hidden", typed[outshonePath](), `JSON: basePath.ID: path and query: another field hides this one, so that nothing would be read into it`},
		{"a place with another's name", typed[lostPath](), `JSON: basePath.ID: path and query: another field hides this one, so that nothing would be read into it`},
		{"a space before a name", typed[spacedQuery](), `JSON: spacedQuery.ID: query:" id": it is a name and nothing else, without spaces and commas`},
		{"more than a name", typed[omittedQuery](), `JSON: omittedQuery.ID: query:"id,omitempty": it is a name and nothing else, without spaces and commas`},
		{"one query for two fields", typed[twoQueries](), `JSON: twoQueries.To: twoQueries.From has the JSON name "query id", too`},
		{"a path that is not to count, beside a scope", typed[scopeUnasked](), `JSON: scopeUnasked.Tenant: path:"id": idempotency:"-": the path and the query always count`},
		{"a path that is to count alone", typed[chosenPath](), `JSON: chosenPath.ID: path:"id": idempotency:"fingerprint": the path and the query always count, and so does the whole body, unless members of it are chosen`},
		{"no function", idemhttp.JSON[plain, plain](nil), `JSON: the function is nil`},
		{"nil option", typed[plain](nil), `JSON: a nil option`},
		{"no success", typed[plain](idemhttp.JSONStatus(404)), `JSON: JSONStatus: 404 is not within 200 and 299`},
		{"no error writer", typed[plain](idemhttp.JSONErrors(nil)), `JSON: JSONErrors: the function is nil`},
		{"no body", typed[plain](idemhttp.JSONMaxBody(0)), `JSON: JSONMaxBody: 0 is not above 0`},
		{"a status twice", typed[plain](idemhttp.JSONStatus(201), idemhttp.JSONStatus(200)), `JSON: JSONStatus is given twice`},
		{"a bound twice", typed[plain](idemhttp.JSONMaxBody(1), idemhttp.JSONMaxBody(1<<20)), `JSON: JSONMaxBody is given twice`},
		{"errors twice", typed[plain](idemhttp.JSONErrors(tell), idemhttp.JSONErrors(tell)), `JSON: JSONErrors is given twice`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			mw := newMiddleware(t)
			err := mw.Handle(http.NewServeMux(), "POST /a/{id}", tt.handler)
			require.EqualError(t, err, "idemhttp: POST /a/{id}: "+tt.want)
			err = mw.Mount(http.NewServeMux(), struct {
				Create http.Handler `route:"POST /a/{id}" idempotency:"off"`
			}{tt.handler})
			require.EqualError(t, err, "idemhttp: table.Create: "+tt.want)

			protect, err := mw.Protect("a")
			require.NoError(t, err)
			for _, handler := range []http.Handler{tt.handler, protect(tt.handler)} {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, keyedRequest(t.Context(), http.MethodPost, "/a/1", "k"))
				assert.Equal(t, http.StatusInternalServerError, w.Code)
				assert.Contains(t, w.Body.String(), tt.want)
			}
		})
	}
}

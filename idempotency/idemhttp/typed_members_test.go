package idemhttp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// Types that read more than they write, or write it otherwise.
type (
	cents struct {
		Cents    int64 `json:"-"`
		Currency string
	}
	redacted  string
	byPointer struct{ cents int64 }
	empties   struct{ V int }
	textA     struct{ A int }
	textB     struct{ B int }
)

func (c *cents) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	_, err := fmt.Sscanf(text, "%d %s", &c.Cents, &c.Currency)
	return err
}
func (redacted) MarshalJSON() ([]byte, error)     { return []byte(`"****"`), nil }
func (k *byPointer) MarshalJSON() ([]byte, error) { return json.Marshal(k.cents) }
func (k *byPointer) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &k.cents) }
func (empties) IsZero() bool                      { return true }
func (textA) MarshalText() ([]byte, error)        { return []byte("a"), nil }
func (textB) MarshalText() ([]byte, error)        { return []byte("b"), nil }

// F14: what the function can get counts, whatever the types of the request write.
func TestF14_TwoRequestsThatTheFunctionCanTellApartAreTwo(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		handler       http.Handler
		first, second string
	}{
		{"reads what it does not write, A3", typed[struct{ M cents }](), `{"M":"1 EUR"}`, `{"M":"999 EUR"}`},
		{"redacts, A3", typed[struct{ C redacted }](), `{"C":"4111"}`, `{"C":"4242"}`},
		{"writes itself by pointer only, in a map, A4", typed[struct{ M map[string]byPointer }](), `{"M":{"a":1}}`, `{"M":{"a":999}}`},
		{"is zero by its own word, below a slice, A7", typed[struct {
			L []struct {
				Q empties `json:",omitzero"`
			}
		}](), `{"L":[{"Q":{"V":1}}]}`, `{"L":[{"Q":{"V":2}}]}`},
		{"embedded types that write themselves, A8", typed[struct {
			textA
			textB
			C int
		}](), `{"A":1}`, `{"A":2}`},
		{"a name in another case", typed[struct {
			A int `json:"a"`
		}](), `{"a":1,"A":2}`, `{"a":2,"A":2}`},
		{"an array that is longer than its field", typed[struct{ A [2]int }](), `{"A":[1,2,3]}`, `{"A":[1,2]}`},
		{"null and nothing", typed[struct{ R json.RawMessage }](), `{"R":null}`, `{}`},
		{"zero and nothing", typed[plain](), `{"Amount":0}`, `{}`},
		{"numbers beyond a float", typed[struct{ N json.Number }](), `{"N":9007199254740993}`, `{"N":9007199254740992}`},
		{"an instant in two zones", typed[struct{ At time.Time }](), `{"At":"2026-01-01T00:00:00Z"}`, `{"At":"2026-01-01T01:00:00+01:00"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			handler := mountTyped(t, newMiddleware(t), tt.handler, idempotency.Policy{})
			assert.Equal(t, `200 executed {"Amount":0}`, said(asked(t, handler, "k", tt.first)))
			assert.Equal(t, `422 mismatch idempotency_key_reused`, said(asked(t, handler, "k", tt.second)))
			assert.Equal(t, `200 replayed {"Amount":0}`, said(asked(t, handler, "k", tt.first)))
		})
	}
}

// Requests whose tags leave out a part, each at another place.
type (
	card struct {
		Number string `json:"number"`
		Trace  string `json:"trace~/1" idempotency:"-"`
	}
	cardRequest struct {
		Card **card `json:"card"`
	}
	noted struct {
		Comment string `json:"comment" idempotency:"-"`
		Amount  int    `json:"amount"`
	}
	namesNoted struct {
		noted `json:"inner"`
	}
	hidesNoted struct {
		noted
		Comment string `json:"comment"`
	}
	dropsNoted struct {
		noted `idempotency:"-"`
		Sum   int
	}
	misnamed struct {
		Comment string `json:"com\"ment" idempotency:"-"` //nolint:staticcheck // the name is what is tested
		Amount  int    `json:"amount"`
	}
	choosing struct {
		Card struct {
			Number string `json:"number" idempotency:"fingerprint"`
			Name   string `json:"name"`
		} `json:"card"`
		noted2
	}
	noted2 struct {
		Sum   int `idempotency:"fingerprint"`
		Other int
	}
)

func TestJSON_TagsCountAtTheMembersTheyAreAt(t *testing.T) {
	t.Parallel()
	const same, other = "200 replayed", "422 mismatch"
	tests := []struct {
		name                string
		handler             http.Handler
		first, second, want string
	}{
		{"nested", typed[cardRequest](), `{"card":{"number":"1","trace~/1":"a"}}`, `{"card":{"trace~/1":"b","number":"1"}}`, same},
		{"beside a nested one", typed[cardRequest](), `{"card":{"number":"1"}}`, `{"card":{"number":"2"}}`, other},
		{"in another case", typed[cardRequest](), `{"card":{"Trace~/1":"a"}}`, `{"card":{"Trace~/1":"b"}}`, other},
		{"embedded", typed[dropsNoted](), `{"comment":"a","amount":1,"Sum":1}`, `{"Sum":1}`, same},
		{"beside an embedded one", typed[dropsNoted](), `{"Sum":1}`, `{"Sum":2}`, other},
		{"embedded under a name", typed[namesNoted](), `{"inner":{"comment":"a"}}`, `{"inner":{"comment":"b"}}`, same},
		{"beside one embedded under a name", typed[namesNoted](), `{"inner":{"amount":1}}`, `{"inner":{"amount":2}}`, other},
		{"on a hidden field", typed[hidesNoted](), `{"comment":"a"}`, `{"comment":"b"}`, other},
		{"a name that encoding/json does not take", typed[misnamed](), `{"Comment":"a"}`, `{"Comment":"b"}`, same},
		{"not chosen", typed[choosing](), `{"card":{"number":"1","name":"a"},"Sum":1,"Other":1}`, `{"card":{"number":"1"},"Sum":1,"Other":2}`, same},
		{"chosen, nested", typed[choosing](), `{"card":{"number":"1"}}`, `{"card":{"number":"2"}}`, other},
		{"chosen, embedded", typed[choosing](), `{"Sum":1}`, `{"Sum":2}`, other},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			handler := mountTyped(t, newMiddleware(t), tt.handler, idempotency.Policy{})
			require.Equal(t, `200 executed {"Amount":0}`, said(asked(t, handler, "k", tt.first)))
			assert.Contains(t, said(asked(t, handler, "k", tt.second)), tt.want)
		})
	}
}

// A kill switch must not refuse what was served before, B10.
func TestJSON_TakesBodiesOfTheSameSizeWithoutProtection(t *testing.T) {
	t.Parallel()
	body := `{"A":"` + strings.Repeat("x", 2<<20) + `"}`
	for _, key := range []idempotency.KeyRule{idempotency.KeyOptional, idempotency.KeyShadow, idempotency.KeyOff} {
		t.Run(string(key), func(t *testing.T) {
			t.Parallel()
			guard := newGuardFor(t)
			mw, err := idemhttp.New(guard, idemhttp.GlobalScope())
			require.NoError(t, err)
			handler := mountTyped(t, mw, idemhttp.JSON(func(_ context.Context, r struct{ A string }) (int, error) {
				return len(r.A), nil
			}), idempotency.Policy{MaxRequestBody: 4 << 20})
			require.Equal(t, "200 executed 2097152", said(asked(t, handler, "k", body)))
			require.NoError(t, guard.Override("POST /orders", idempotency.Policy{Key: key}))
			for _, header := range []string{"", "k2"} {
				assert.Equal(t, http.StatusOK, asked(t, handler, header, body).Code, header)
			}
			tooLarge := `{"A":"` + strings.Repeat("x", 5<<20) + `"}`
			assert.Equal(t, http.StatusRequestEntityTooLarge, asked(t, handler, "", tooLarge).Code)
		})
	}
}

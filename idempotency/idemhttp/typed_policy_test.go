package idemhttp_test

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// Request types that a policy may contradict.
type (
	numberKey struct {
		ID int64 `idempotency:"key"`
	}
	numberKeyBelow struct {
		Head **struct {
			ID *uint32 `idempotency:"key"`
		}
	}
	chosenBelow struct {
		Card struct {
			Number string `idempotency:"fingerprint"`
		}
	}
	commentedPath struct {
		ID      string `path:"id" json:"-" idempotency:"key"`
		Comment string `idempotency:"-"`
	}
)

func TestJSON_WhatContradictsThePolicyIsFoundAtConstruction(t *testing.T) {
	t.Parallel()
	off := idempotency.Policy{Fingerprint: idempotency.FingerprintOff}
	tests := []struct {
		name    string
		handler http.Handler
		policy  idempotency.Policy
		want    string
	}{
		{
			"fields by tag and by policy", typed[plain](),
			idempotency.Policy{Fingerprint: idempotency.FingerprintJSON, FingerprintOnly: []string{"/amount"}},
			`Policy.FingerprintOnly and FingerprintExclude: the tags of plain say what counts: say it in one place`,
		},
		{
			"fields by tag and nothing by policy", typed[commented](), off,
			`Policy.Fingerprint: the tags of commented say what counts, and "off" that nothing does`,
		},
		{
			"one field by tag, the key in the path, and nothing by policy", typed[commentedPath](), off,
			`Policy.Fingerprint: the tags of commentedPath say what counts, and "off" that nothing does`,
		},
		{
			"chosen fields and nothing by policy", typed[chosenBelow](), off,
			`Policy.Fingerprint: the tags of chosenBelow say what counts, and "off" that nothing does`,
		},
		{
			"a number for a UUID", typed[numberKey](), idempotency.Policy{KeyFormat: idempotency.KeyUUID},
			`numberKey.ID: idempotency:"key": Policy.KeyFormat is "uuid", and int64 is never a UUID: make the field a string`,
		},
		{
			"a number below pointers for a UUID", typed[*numberKeyBelow](), idempotency.Policy{KeyFormat: idempotency.KeyUUIDv7},
			`numberKeyBelow.Head.ID: idempotency:"key": Policy.KeyFormat is "uuid7", and uint32 is never a UUID: make the field a string`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const pattern = "POST /a/{id}"
			err := newMiddleware(t).Handle(http.NewServeMux(), pattern, tt.handler, tt.policy)
			require.EqualError(t, err, "idemhttp: "+pattern+": "+tt.want)
			_, err = newMiddleware(t).Wrap("a", tt.handler, tt.policy)
			require.EqualError(t, err, "idemhttp: a: "+tt.want)
			tt.policy.Key = idempotency.KeyShadow
			err = newMiddleware(t).Mount(http.NewServeMux(), struct {
				Create http.Handler `route:"POST /a/{id}"`
			}{tt.handler}, idemhttp.TablePolicy(tt.policy))
			require.EqualError(t, err, "idemhttp: table.Create: "+tt.want)

			tt.policy.Key = idempotency.KeyOff
			require.NoError(t, newMiddleware(t).Handle(http.NewServeMux(), pattern, tt.handler, tt.policy), "nothing is compared there")
		})
	}
}

// What a format of keys asks for, a field may have.
func TestJSON_KeyFieldsThatMayHoldAUUID(t *testing.T) {
	t.Parallel()
	type text struct {
		ID *string `idempotency:"key"`
	}
	type address struct {
		ID netip.Addr `idempotency:"key"` // no UUID either, but only its text tells
	}
	uuids := idempotency.Policy{KeyFormat: idempotency.KeyUUIDv4}
	for _, handler := range []http.Handler{typed[text](), typed[address](), typed[plain]()} {
		require.NoError(t, newMiddleware(t).Handle(http.NewServeMux(), "POST /a", handler, uuids))
	}
	require.NoError(t, newMiddleware(t).Handle(http.NewServeMux(), "POST /a", typed[numberKey]()))
}

func TestJSON_ScopeInTheRequestExcludesStatus(t *testing.T) {
	t.Parallel()
	type request struct {
		Merchant string `idempotency:"scope"`
	}
	mw := newMiddleware(t)
	require.NoError(t, mw.Handle(http.NewServeMux(), "POST /a", typed[request]()))
	_, err := mw.Status("POST /a")
	require.EqualError(t, err, `idemhttp: Status: operation "POST /a" has a scope from the fields of its requests, `+
		`so that neither Status nor ProtectByPath would find its records`)
}

// What a start-up log says is what requests are compared by.
func TestRoutes_FingerprintOfAJSONHandlerIsThatOfItsTags(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		handler http.Handler
		policy  idempotency.Policy
		want    string
	}{
		{"a handler of its own", &counting{}, idempotency.Policy{}, "fingerprint=request"},
		{"no tags", typed[plain](), idempotency.Policy{}, "fingerprint=json"},
		{"excluded members", typed[commented](), idempotency.Policy{}, "fingerprint=json,fingerprint-exclude=/ID|/Comment"},
		{"the key in the path", typed[commentedPath](), idempotency.Policy{}, "fingerprint=json,fingerprint-exclude=/Comment"},
		{"chosen members", typed[chosenBelow](), idempotency.Policy{}, "fingerprint=json,fingerprint-only=/Card/Number"},
		{"nothing", typed[plain](), idempotency.Policy{Fingerprint: idempotency.FingerprintOff}, "fingerprint=off"},
		{
			"header fields as well", typed[commented](), idempotency.Policy{FingerprintHeaders: []string{"X-Version"}},
			"fingerprint=json,fingerprint-exclude=/ID|/Comment,fingerprint-headers=X-Version",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			mw, want := newMiddleware(t), idempotency.DefaultPolicy()
			require.NoError(t, mw.Handle(http.NewServeMux(), "POST /a/{id}", tt.handler, tt.policy))
			said, err := idempotency.ParsePolicy(tt.want)
			require.NoError(t, err)
			got := mw.Routes()[0].Policy
			assert.Equal(t, want.Override(said), got)
			require.NoError(t, got.Validate())
			got.FingerprintExclude = append(got.FingerprintExclude, "/other")
			assert.NotEqual(t, got, mw.Routes()[0].Policy, "it is the caller's own")
		})
	}
}

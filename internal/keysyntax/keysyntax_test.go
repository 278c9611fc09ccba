package keysyntax_test

import (
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/keysyntax"
)

func TestK_AcceptedKeys(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, field, key string
	}{
		{"K4 bare", `8e03978e-40d5-43dd`, `8e03978e-40d5-43dd`},
		{"K4 quoted is the same key", `"8e03978e-40d5-43dd"`, `8e03978e-40d5-43dd`},
		{"K7 parameters are ignored", `"k";a=1;b="x"`, `k`},
		{"K10 255 bare characters", strings.Repeat("k", 255), strings.Repeat("k", 255)},
		{"K10 255 quoted characters", `"` + strings.Repeat("k", 255) + `"`, strings.Repeat("k", 255)},
		{"K10 escapes count once", `"` + strings.Repeat(`\"`, 255) + `"`, strings.Repeat(`"`, 255)},
		{"K11 braces and stars", `{a}*?[b]`, `{a}*?[b]`},
		{"K12 spaces around", " \tkey\t ", `key`},
		{"K12 spaces around a quoted key", "\t \"key\" \t", `key`},
		{"spaces inside quotes belong to the key", `" a b "`, ` a b `},
		{"separators inside quotes belong to the key", `"a,b;c"`, `a,b;c`},
		{"escapes are undone", `"a\\b\"c"`, `a\b"c`},
		{"looks like another structured type", `?1`, `?1`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key, err := keysyntax.Parse([]string{tt.field}, false)
			require.NoError(t, err)
			assert.Equal(t, tt.key, key)
		})
	}
}

func TestK_F63_F64_F65_F66_RefusedKeys(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		fields []string
		reason string
	}{
		{"K3 empty", []string{""}, "empty"},
		{"K3 only spaces", []string{" \t "}, "empty"},
		{"K3 empty quotes", []string{`""`}, "empty"},
		{"K6 unterminated quote", []string{`"secret`}, "well-formed"},
		{"K6 illegal escape", []string{`"sec\ret"`}, "well-formed"},
		{"K6 escape at the end", []string{`"secret\`}, "well-formed"},
		{"K6 text after the quote", []string{`"secret"x`}, "something follows"},
		{"K6 quote in the middle", []string{`sec"ret`}, "quoted form"},
		{"K8 two equal lines", []string{"secret", "secret"}, "more than once"},
		{"K8 two different lines", []string{"secret", "other"}, "more than once"},
		{"K9 bare list", []string{"secret,other"}, "list"},
		{"K9 quoted list", []string{`"secret", "other"`}, "something follows"},
		{"K9 inner list", []string{`("secret")`}, "quoted form"},
		{"K10 256 bare characters", []string{strings.Repeat("k", 256)}, "more than 255"},
		{"K10 256 quoted characters", []string{`"` + strings.Repeat("k", 256) + `"`}, "more than 255"},
		{"K10 endless parameters", []string{`"k";a="` + strings.Repeat("a", 5000) + `"`}, "longer than"},
		{"K11 control character", []string{"sec\x01ret"}, "visible ASCII"},
		{"K11 NUL", []string{"sec\x00ret"}, "visible ASCII"},
		{"K11 line break", []string{"secret\r\nX: y"}, "visible ASCII"},
		{"K11 delete", []string{"secret\x7f"}, "visible ASCII"},
		{"K11 non-ASCII", []string{"sécret"}, "visible ASCII"},
		{"K11 control in quotes", []string{"\"sec\x01ret\""}, "well-formed"},
		{"K11 non-ASCII in quotes", []string{`"sécret"`}, "well-formed"},
		{"space inside a bare key", []string{"sec ret"}, "quoted form"},
		{"semicolon in a bare key", []string{"secret;a=1"}, "quoted form"},
		{"backslash in a bare key", []string{`sec\ret`}, "quoted form"},
		{"bad parameters", []string{`"secret";=`}, "well-formed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key, err := keysyntax.Parse(tt.fields, false)
			require.ErrorIs(t, err, keysyntax.ErrInvalid)
			assert.Empty(t, key)
			assert.ErrorContains(t, err, tt.reason)
			assert.NotContains(t, err.Error(), "ret", "A13: the key is not echoed")
		})
	}
}

func TestK1_NoFieldLineIsNotAnInvalidKey(t *testing.T) {
	t.Parallel()
	_, err := keysyntax.Parse(nil, false)
	require.ErrorIs(t, err, keysyntax.ErrNone)
	require.NotErrorIs(t, err, keysyntax.ErrInvalid)
}

func TestStrictAcceptsTheQuotedFormOnly(t *testing.T) {
	t.Parallel()
	_, err := keysyntax.Parse([]string{"key"}, true)
	require.ErrorIs(t, err, keysyntax.ErrInvalid)
	key, err := keysyntax.Parse([]string{`"key"`}, true)
	require.NoError(t, err)
	assert.Equal(t, "key", key)
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"key", `"key"`, `"k";a=1`, `"a\"b"`, `"`, `""`, "a,b", `"a","b"`, "\x00", "é", `"k";a=?1;b=@1;c=%"x"`, "  k  "} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, field string, strict bool) {
		key, err := keysyntax.Parse([]string{field}, strict)
		if err != nil {
			require.ErrorIs(t, err, keysyntax.ErrInvalid)
			return
		}
		require.NotEmpty(t, key)
		require.LessOrEqual(t, len(key), 255)
		for _, c := range []byte(key) {
			require.True(t, ' ' <= c && c <= '~', "byte %#x", c)
		}
		quoted, err := httpsfv.Marshal(httpsfv.NewItem(key))
		require.NoError(t, err)
		again, err := keysyntax.Parse([]string{quoted}, true)
		require.NoError(t, err)
		require.Equal(t, key, again, "quoting a key gives the same key")
	})
}

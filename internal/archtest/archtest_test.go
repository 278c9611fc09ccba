package archtest_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/internal/archtest"
)

func TestCheckFollowsImports(t *testing.T) {
	t.Parallel()
	rule := archtest.Rule{From: []string{"a/..."}, To: []string{"bad/..."}, Except: []string{"a/free"}, Reason: "because"}
	tests := []struct {
		name  string
		graph archtest.Graph
		want  [][]string
	}{
		{name: "nothing", graph: archtest.Graph{"a": {"b"}, "b": {"c"}}},
		{name: "direct", graph: archtest.Graph{"a": {"bad"}}, want: [][]string{{"a", "bad"}}},
		{name: "below both", graph: archtest.Graph{"a/x": {"bad/y"}}, want: [][]string{{"a/x", "bad/y"}}},
		{name: "not by a common beginning", graph: archtest.Graph{"ab": {"bad"}, "a": {"badly"}}},
		{name: "through another package", graph: archtest.Graph{"a": {"b"}, "b": {"c"}, "c": {"bad"}}, want: [][]string{{"a", "b", "c", "bad"}}},
		{name: "by the shortest chain", graph: archtest.Graph{"a": {"b", "c"}, "b": {"c"}, "c": {"bad"}}, want: [][]string{{"a", "c", "bad"}}},
		{name: "each of two", graph: archtest.Graph{"a": {"bad/x", "bad/y"}}, want: [][]string{{"a", "bad/x"}, {"a", "bad/y"}}},
		{name: "reported where it happens", graph: archtest.Graph{"a": {"a/x"}, "a/x": {"bad"}}, want: [][]string{{"a/x", "bad"}}},
		{name: "excepted", graph: archtest.Graph{"a/free": {"bad"}, "a": {"a/free"}}},
		{name: "others may", graph: archtest.Graph{"z": {"bad"}}},
		{name: "a cycle ends", graph: archtest.Graph{"a": {"b"}, "b": {"a", "bad"}}, want: [][]string{{"a", "b", "bad"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got [][]string
			for _, violation := range archtest.Check(tt.graph, []archtest.Rule{rule}) {
				got = append(got, violation.Chain)
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestThreeDotsMeanEveryPackage(t *testing.T) {
	t.Parallel()
	graph := archtest.Graph{".": {"bad"}, "a/b": {"bad"}, "free": {"bad"}}
	rule := archtest.Rule{From: []string{"..."}, To: []string{"bad"}, Except: []string{"free/..."}}
	require.Len(t, archtest.Check(graph, []archtest.Rule{rule}), 2)
}

func TestLoadReadsTheModulesOwnFiles(t *testing.T) {
	t.Parallel()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	graph, err := archtest.Load(fstest.MapFS{
		"go.mod":           file("// ours\nmodule example.org/m\n\ngo 1.26\n"),
		"m.go":             file(`package m; import "fmt"`),
		"a/one.go":         file(`package a; import ("example.org/m"; "example.org/m/b")`),
		"a/two_windows.go": file(`package a; import ("example.org/m/b"; win "example.org/windows")`),
		"a/a_test.go":      file(`package a; import "example.org/testonly"`),
		"b/b.go":           file(`package b`),
		"b/testdata/x.go":  file(`package x; import "example.org/testdata"`),
		".hidden/h.go":     file(`package h; import "example.org/hidden"`),
		"nested/go.mod":    file("module example.org/m/nested\n"),
		"nested/n.go":      file(`package nested; import "example.org/nested"`),
	})
	require.NoError(t, err)
	assert.Equal(t, archtest.Graph{
		".": {"fmt"},
		"a": {".", "b", "example.org/windows"},
		"b": {},
	}, graph)
}

func TestLoadNamesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	_, err := archtest.Load(fstest.MapFS{})
	require.ErrorContains(t, err, "no go.mod")
	_, err = archtest.Load(fstest.MapFS{"go.mod": {Data: []byte("go 1.26\n")}})
	require.ErrorContains(t, err, "no go.mod with a module line")
	_, err = archtest.Load(fstest.MapFS{
		"go.mod":   {Data: []byte("module m\n")},
		"a/bad.go": {Data: []byte("pack age")},
	})
	require.ErrorContains(t, err, "a/bad.go")
}

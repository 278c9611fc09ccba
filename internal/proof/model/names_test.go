package model_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// contract is where package store lives.
const contract = "../../../store/"

// names are those that the model and the code share.
type names struct {
	transitions []string // functions of the protocol: inlines and macros of the model
	events      []string // what the events call themselves
	states      []string
	verdicts    []string
	modes       []string
	fields      []string // of the record
}

// Of the code's names the model may leave out these, and have these of its own;
// each list says why. Any other difference is drift.
func TestModelHasTheNamesOfTheCode(t *testing.T) {
	t.Parallel()
	code, model := namesOfCode(t), namesOfModel(t)
	tests := []struct {
		name                string
		code, model         []string
		notModelled, models []string
	}{
		{
			name: "transitions", code: code.transitions, model: model.transitions,
			notModelled: []string{
				"Step", "inProgress", "describe", // which event it is, and what a reply tells
				"clampLease", // a lease never has more ticks than its length
				"settledBy",  // two words in settle
			},
			models: []string{"forget"}, // a record that is lost or has expired
		},
		{name: "states", code: code.states, model: model.states},
		{
			name: "verdicts", code: code.verdicts, model: model.verdicts,
			notModelled: []string{"Mismatch", "OtherAlgorithm"}, // fingerprints
			models:      []string{"None"},
		},
		{name: "take-over modes", code: code.modes, model: model.modes},
		{
			name: "fields", code: code.fields, model: model.fields,
			notModelled: []string{
				"LeaseEnd", "Lease", // Left counts down
				"NotBefore", "Waiters", // reconcile, waiting
				"Fingerprint", "Scope", "Operation", // one request, one operation
				"Created", "Started", "Finished", "Expires", // nothing expires
			},
			models: []string{"Left"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			assert.ElementsMatch(t, without(test.code, test.notModelled), without(test.model, test.models))
			assert.Subset(t, test.code, test.notModelled)
			assert.Subset(t, test.model, test.models)
		})
	}
	require.Len(t, code.events, 7)
	assert.Subset(t, model.transitions, code.events)
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(some, name) })
}

var (
	inline  = regexp.MustCompile(`(?m)^inline (\w+)\(`)
	macro   = regexp.MustCompile(`(?m)^#define (heldBy|absentFor)\(`) // those that are functions of the code
	mtype   = regexp.MustCompile(`mtype = \{ ([^}]*) \}`)
	typedef = regexp.MustCompile(`(?s)typedef Record \{(.*?)\}`)
	member  = regexp.MustCompile(`(?m)^\t\w+ (\w+)`)
)

func namesOfModel(t *testing.T) names {
	t.Helper()
	text, err := os.ReadFile("protocol.pml")
	require.NoError(t, err)
	source := string(text)
	lists := mtype.FindAllStringSubmatch(source, -1)
	require.Len(t, lists, 3)
	transitions := append(firsts(inline, source), firsts(macro, source)...)
	slices.Sort(transitions)
	return names{
		transitions: slices.Compact(transitions), // one macro in several variants
		states:      strings.Split(lists[0][1], ", "),
		verdicts:    strings.Split(lists[1][1], ", "),
		modes:       strings.Split(lists[2][1], ", "),
		fields:      firsts(member, typedef.FindString(source)),
	}
}

func firsts(re *regexp.Regexp, source string) []string {
	var found []string
	for _, m := range re.FindAllStringSubmatch(source, -1) {
		found = append(found, m[1])
	}
	return found
}

func namesOfCode(t *testing.T) names {
	t.Helper()
	files, err := filepath.Glob(contract + "*.go")
	require.NoError(t, err)
	var n names
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		for _, decl := range tree.Decls {
			n.declaration(decl, strings.HasPrefix(filepath.Base(file), "step"))
		}
	}
	return n
}

// declaration takes the names of a declaration; functions count if they are the
// protocol's.
func (n *names) declaration(decl ast.Decl, protocol bool) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if protocol {
			n.transitions = append(n.transitions, d.Name.Name)
		}
		if d.Name.Name == "Name" && d.Recv != nil {
			n.events = append(n.events, literal(d.Body))
		}
	case *ast.GenDecl:
		n.specs(d)
	}
}

// literal is the text that a function returns.
func literal(body *ast.BlockStmt) string {
	if r, isReturn := body.List[0].(*ast.ReturnStmt); isReturn {
		if lit, isLiteral := r.Results[0].(*ast.BasicLit); isLiteral {
			return strings.Trim(lit.Value, `"`)
		}
	}
	return ""
}

// specs takes constants by their type, which those of an iota inherit, and the
// record's fields.
func (n *names) specs(d *ast.GenDecl) {
	kind := ""
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.ValueSpec:
			if named, isNamed := s.Type.(*ast.Ident); isNamed {
				kind = named.Name
			}
			n.constant(d.Tok, kind, s.Names[0].Name)
		case *ast.TypeSpec:
			if record, isStruct := s.Type.(*ast.StructType); isStruct && s.Name.Name == "Record" {
				n.members(record)
			}
		}
	}
}

func (n *names) constant(tok token.Token, kind, name string) {
	if tok != token.CONST {
		return
	}
	switch kind {
	case "State":
		n.states = append(n.states, name)
	case "Verdict":
		n.verdicts = append(n.verdicts, name)
	case "TakeOver":
		n.modes = append(n.modes, name)
	}
}

func (n *names) members(record *ast.StructType) {
	for _, field := range record.Fields.List {
		for _, name := range field.Names {
			n.fields = append(n.fields, name.Name)
		}
	}
}

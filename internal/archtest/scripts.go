package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// goRedis is the driver whose scripts are looked at.
const goRedis = "github.com/redis/go-redis/v9"

// Scripts returns what could let data become part of a script's text, in the
// module at the root of a file tree: a script that is not put together from
// constants and embedded files alone, and a text that is sent to Redis by other
// means than a *redis.Script. Each finding begins with its file and line.
//
// It looks at the syntax tree of every package that imports go-redis, its tests
// excepted, and at nothing else: no data can be in a text in which every name is a
// constant, an embedded file, or a function of those. What it does not understand
// it reports.
func Scripts(tree fs.FS) ([]string, error) {
	packages, err := driven(tree)
	if err != nil {
		return nil, fmt.Errorf("read the scripts: %w", err)
	}
	var found []string
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		p := packages[dir]
		p.declare()
		p.check()
		found = append(found, p.found...)
	}
	return found, nil
}

// source is one package, with the names that matter here.
type source struct {
	set   *token.FileSet
	files []*ast.File

	fixed   map[string]bool          // constants and embedded files
	funcs   map[string]*ast.FuncDecl // without receivers
	fields  map[string]bool          // of structs, of the type *redis.Script
	checked map[*ast.FuncDecl]bool   // whether all callers give it fixed text
	asked   map[variable]bool        // about what the question is under way
	found   []string
}

// driven parses the packages that import the driver.
func driven(tree fs.FS) (map[string]*source, error) {
	packages := make(map[string]*source)
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return enter(tree, name)
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		return parseInto(packages, tree, name)
	})
	if err != nil {
		return nil, err
	}
	for dir, p := range packages {
		if !slices.ContainsFunc(p.files, importsDriver) {
			delete(packages, dir)
		}
	}
	return packages, nil
}

func parseInto(packages map[string]*source, tree fs.FS, name string) error {
	text, err := fs.ReadFile(tree, name)
	if err != nil {
		return err
	}
	dir := path.Dir(name)
	p := packages[dir]
	if p == nil {
		p = &source{set: token.NewFileSet()}
		packages[dir] = p
	}
	file, err := parser.ParseFile(p.set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	p.files = append(p.files, file)
	return nil
}

func importsDriver(file *ast.File) bool {
	return slices.ContainsFunc(file.Imports, func(spec *ast.ImportSpec) bool {
		return spec.Path.Value == strconv.Quote(goRedis)
	})
}

// declare collects the package's names.
func (p *source) declare() {
	p.fixed, p.fields = make(map[string]bool), make(map[string]bool)
	p.funcs, p.checked = make(map[string]*ast.FuncDecl), make(map[*ast.FuncDecl]bool)
	p.asked = make(map[variable]bool)
	for _, file := range p.files {
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					p.funcs[d.Name.Name] = d
				}
			case *ast.GenDecl:
				p.declareNames(d)
			}
		}
	}
}

func (p *source) declareNames(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.ValueSpec:
			for _, name := range s.Names {
				p.fixed[name.Name] = d.Tok == token.CONST || embedded(d.Doc) || embedded(s.Doc)
			}
		case *ast.TypeSpec:
			if of, ok := s.Type.(*ast.StructType); ok {
				p.declareFields(of)
			}
		}
	}
}

func (p *source) declareFields(of *ast.StructType) {
	for _, field := range of.Fields.List {
		for _, name := range field.Names {
			p.fields[name.Name] = isScript(field.Type)
		}
	}
}

func embedded(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool {
		return strings.HasPrefix(c.Text, "//go:embed ")
	})
}

// isScript reports whether a type is written *redis.Script.
func isScript(expr ast.Expr) bool {
	star, ok := expr.(*ast.StarExpr)
	return ok && selects(star.X, "redis", "Script")
}

// selects reports whether an expression is written x.name.
func selects(expr ast.Expr, x, name string) bool {
	sel, ok := expr.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	ident, ok := sel.X.(*ast.Ident)
	return ok && ident.Name == x
}

func (p *source) report(at ast.Node, format string, args ...any) {
	where := p.set.Position(at.Pos())
	p.found = append(p.found, fmt.Sprintf("%s:%d: %s", where.Filename, where.Line, fmt.Sprintf(format, args...)))
}

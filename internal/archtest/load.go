package archtest

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// errNoModule: there is no module at the root of what was given.
var errNoModule = errors.New("no go.mod with a module line")

// Load reads the import graph of the module at the root of a file tree. Hidden
// folders, testdata and nested modules are left out.
func Load(tree fs.FS) (Graph, error) {
	module, err := modulePath(tree)
	if err != nil {
		return nil, err
	}
	graph := make(Graph)
	err = fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return enter(tree, name)
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		return graph.addFile(tree, name, module)
	})
	if err != nil {
		return nil, fmt.Errorf("read the import graph: %w", err)
	}
	return graph, nil
}

// enter skips the folders that are not the module's.
func enter(tree fs.FS, dir string) error {
	if dir == "." {
		return nil
	}
	base := path.Base(dir)
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" {
		return fs.SkipDir
	}
	if _, err := fs.Stat(tree, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func modulePath(tree fs.FS) (string, error) {
	raw, err := fs.ReadFile(tree, "go.mod")
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoModule, err)
	}
	for line := range strings.Lines(string(raw)) {
		if name, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(name), nil
		}
	}
	return "", errNoModule
}

func (g Graph) addFile(tree fs.FS, name, module string) error {
	source, err := fs.ReadFile(tree, name)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ImportsOnly)
	if err != nil {
		return err
	}
	pkg := path.Dir(name)
	if g[pkg] == nil {
		g[pkg] = []string{} // a package that imports nothing is one, too
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		if imported = within(module, imported); !slices.Contains(g[pkg], imported) {
			g[pkg] = append(g[pkg], imported)
		}
	}
	slices.Sort(g[pkg])
	return nil
}

// within turns the import path of one of the module's packages into its path
// below the module.
func within(module, imported string) string {
	if imported == module {
		return "."
	}
	return strings.TrimPrefix(imported, module+"/")
}

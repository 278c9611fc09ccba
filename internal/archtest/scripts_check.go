package archtest

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// check looks at all of the package.
func (p *source) check() {
	p.each(func(n ast.Node, around *ast.FuncDecl) {
		switch n := n.(type) {
		case *ast.CallExpr:
			p.checkCall(n, around)
		case *ast.SelectorExpr:
			p.checkSender(n, around)
		}
	})
}

// each visits every node of the package, with the function around it, or nil.
func (p *source) each(visit func(n ast.Node, around *ast.FuncDecl)) {
	for _, file := range p.files {
		for _, decl := range file.Decls {
			around, _ := decl.(*ast.FuncDecl)
			ast.Inspect(decl, func(n ast.Node) bool {
				visit(n, around)
				return true
			})
		}
	}
}

// checkCall looks at the text of a new script, and at commands that are sent by
// their name.
func (p *source) checkCall(call *ast.CallExpr, around *ast.FuncDecl) {
	if selects(call.Fun, "redis", "NewScript") || selects(call.Fun, "redis", "NewScriptServerSHA") {
		if len(call.Args) == 0 || !p.isFixed(call.Args[0], around) {
			p.report(call, "a script's text is not made of constants alone")
		}
		return
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !makesCommand(sel.Sel.Name) || selects(sel, "idempotency", "Do") {
		return
	}
	for _, arg := range call.Args {
		if lit, ok := arg.(*ast.BasicLit); ok && isScripting(lit.Value) {
			p.report(call, "a script is sent by the command's name")
		}
	}
	if sel.Sel.Name == "Do" && len(call.Args) > 1 && !p.isFixed(call.Args[1], around) {
		p.report(call, "a command's name is not a constant")
	}
}

// makesCommand knows go-redis' methods and functions that take a command's name.
func makesCommand(name string) bool {
	return name == "Do" || strings.HasPrefix(name, "New") && strings.HasSuffix(name, "Cmd")
}

// isScripting knows the commands that take a text or a function's name, in a Go
// literal.
func isScripting(literal string) bool {
	word := strings.ToLower(strings.Trim(literal, "\"`"))
	return slices.Contains([]string{"eval", "eval_ro", "evalsha", "evalsha_ro", "script", "function", "fcall", "fcall_ro"}, word)
}

// checkSender lets texts reach Redis as methods of a *redis.Script only, called or
// handed on as values.
func (p *source) checkSender(sel *ast.SelectorExpr, around *ast.FuncDecl) {
	switch sel.Sel.Name {
	case "Eval", "EvalRO", "EvalSha", "EvalShaRO", "ScriptLoad", "FunctionLoad", "FunctionLoadReplace":
	default:
		return
	}
	switch x := sel.X.(type) {
	case *ast.SelectorExpr:
		if p.fields[x.Sel.Name] {
			return
		}
	case *ast.Ident:
		if param := parameter(around, x.Name); param != nil && isScript(param.Type) {
			return
		}
	}
	p.report(sel, "%s of something that is not known to be a *redis.Script", sel.Sel.Name)
}

// isFixed reports whether an expression is text that no data can get into.
func (p *source) isFixed(expr ast.Expr, around *ast.FuncDecl) bool {
	switch e := expr.(type) {
	case *ast.BasicLit:
		return true
	case *ast.ParenExpr:
		return p.isFixed(e.X, around)
	case *ast.UnaryExpr:
		return e.Op == token.SUB && p.isFixed(e.X, around)
	case *ast.BinaryExpr:
		return p.isFixed(e.X, around) && p.isFixed(e.Y, around)
	case *ast.Ident:
		return p.isFixedName(e.Name, around)
	case *ast.CallExpr:
		return p.isFixedCall(e, around)
	}
	return false
}

// isFixedName follows a parameter to all callers, and a local variable to all
// that is assigned to it.
func (p *source) isFixedName(name string, around *ast.FuncDecl) bool {
	if parameter(around, name) != nil {
		return p.areFixedArguments(around)
	}
	values, local := assigned(around, name)
	if !local {
		return p.fixed[name]
	}
	return p.once(variable{around, name}, func() bool {
		return !slices.ContainsFunc(values, func(v ast.Expr) bool { return !p.isFixed(v, around) })
	})
}

// variable is a local variable, or with no name what a function returns.
type variable struct {
	of   *ast.FuncDecl
	name string
}

// once asks a question about a variable unless it is being asked already: what a
// variable brings into itself was there before.
func (p *source) once(v variable, ask func() bool) bool {
	if p.asked[v] {
		return true
	}
	p.asked[v] = true
	defer delete(p.asked, v)
	return ask()
}

func (p *source) isFixedCall(call *ast.CallExpr, around *ast.FuncDecl) bool {
	for _, arg := range call.Args {
		if !p.isFixed(arg, around) {
			return false
		}
	}
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name == "string" || p.returnsFixed(p.funcs[f.Name])
	case *ast.SelectorExpr:
		x, ok := f.X.(*ast.Ident)
		return ok && (x.Name == "path" || x.Name == "strings" || p.fixed[x.Name] && f.Sel.Name == "ReadFile")
	}
	return false
}

// returnsFixed reports whether all that a function returns is fixed, if what it is
// called with is.
func (p *source) returnsFixed(f *ast.FuncDecl) bool {
	if f == nil || f.Body == nil {
		return false
	}
	return p.once(variable{of: f}, func() bool {
		returns, fixed := 0, true
		ast.Inspect(f.Body, func(n ast.Node) bool {
			if ret, ok := n.(*ast.ReturnStmt); ok {
				returns++
				fixed = fixed && len(ret.Results) == 1 && p.isFixed(ret.Results[0], f)
			}
			return true
		})
		return fixed && returns > 0
	})
}

// areFixedArguments reports whether all callers of a function give it fixed text
// only. A function that is handed on as a value, or is a method, may get anything.
func (p *source) areFixedArguments(f *ast.FuncDecl) bool {
	if f.Recv != nil || ast.IsExported(f.Name.Name) {
		return false
	}
	if p.checked[f] {
		return true // under way, or found to be so
	}
	p.checked[f] = true
	uses, calls, fixed := 0, 0, true
	p.each(func(n ast.Node, around *ast.FuncDecl) {
		switch n := n.(type) {
		case *ast.Ident:
			if n.Name == f.Name.Name {
				uses++
			}
		case *ast.CallExpr:
			if called, ok := n.Fun.(*ast.Ident); ok && called.Name == f.Name.Name {
				calls++
				fixed = fixed && !slices.ContainsFunc(n.Args, func(a ast.Expr) bool { return !p.isFixed(a, around) })
			}
		}
	})
	p.checked[f] = fixed && uses == calls+1 // its declaration is a use, too
	return p.checked[f]
}

// parameter returns the parameter of a name, or nil.
func parameter(f *ast.FuncDecl, name string) *ast.Field {
	if f == nil {
		return nil
	}
	for _, field := range f.Type.Params.List {
		if slices.ContainsFunc(field.Names, func(n *ast.Ident) bool { return n.Name == name }) {
			return field
		}
	}
	return nil
}

// assigned returns what is assigned to a name within a function, and whether
// anything is, or the name is declared there.
func assigned(f *ast.FuncDecl, name string) (values []ast.Expr, local bool) {
	if f == nil || f.Body == nil {
		return nil, false
	}
	is := func(expr ast.Expr) bool {
		ident, ok := expr.(*ast.Ident)
		return ok && ident.Name == name
	}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if slices.ContainsFunc(n.Lhs, is) {
				values, local = append(values, n.Rhs...), true
			}
		case *ast.RangeStmt:
			if is(n.Key) || is(n.Value) {
				values, local = append(values, n.X), true
			}
		case *ast.ValueSpec:
			if slices.ContainsFunc(n.Names, func(i *ast.Ident) bool { return i.Name == name }) {
				values, local = append(values, n.Values...), true
			}
		case *ast.UnaryExpr:
			if n.Op == token.AND && is(n.X) {
				values, local = append(values, n), true // who has its address may change it
			}
		}
		return true
	})
	return values, local
}

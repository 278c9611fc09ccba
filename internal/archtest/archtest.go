// Package archtest holds the module's packages to the directions in which they
// may import each other. The rules, each with its reason, are in its test.
//
// What counts is everything that a package's own files import, directly or
// through other packages of the module, on whatever platform; test files do
// not count, and neither do nested modules.
package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// Graph says what the packages of a module import. Packages of the module go
// by their path below it ("store/memstore"), others by their import path.
type Graph map[string][]string

// Rule forbids packages to import others.
type Rule struct {
	// From, To and Except are package patterns: a path for itself alone, or
	// path/... for it and all below it, or ... for every package. The
	// module's own root is ".".
	From, To []string
	// Except are packages that From names and the rule does not mean.
	Except []string
	// Reason tells whoever breaks the rule what it is good for.
	Reason string
}

// Violation is one way in which a package breaks a rule.
type Violation struct {
	Rule Rule
	// Chain leads from the package to what it must not import.
	Chain []string
}

// String names the chain of imports and the rule's reason.
func (v Violation) String() string {
	return fmt.Sprintf("%s: %s", strings.Join(v.Chain, " imports "), v.Rule.Reason)
}

// Check returns what breaks the rules, in the order of rules and packages. It
// is a pure function, and reports each pair of packages once, by the shortest
// chain between them.
func Check(graph Graph, rules []Rule) []Violation {
	var found []Violation
	for _, rule := range rules {
		for _, pkg := range graph.packages() {
			if !matchAny(rule.From, pkg) || matchAny(rule.Except, pkg) {
				continue
			}
			for _, chain := range graph.chains(pkg, rule) {
				found = append(found, Violation{Rule: rule, Chain: chain})
			}
		}
	}
	return found
}

// chains walks breadth first from a package and returns the chain to each
// forbidden one. It does not look behind a forbidden package, nor into one
// that breaks the rule on its own account and is reported there.
func (g Graph) chains(from string, rule Rule) [][]string {
	var found [][]string
	seen := map[string]bool{from: true}
	for queue := [][]string{{from}}; len(queue) > 0; queue = queue[1:] {
		chain := queue[0]
		for _, next := range g[chain[len(chain)-1]] {
			if seen[next] {
				continue
			}
			seen[next] = true
			longer := append(slices.Clip(chain), next)
			switch {
			case matchAny(rule.To, next):
				found = append(found, longer)
			case !matchAny(rule.From, next) && !matchAny(rule.Except, next):
				queue = append(queue, longer)
			}
		}
	}
	return found
}

func (g Graph) packages() []string {
	names := make([]string, 0, len(g))
	for name := range g {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func matchAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		tree, all := strings.CutSuffix(pattern, "/...")
		return pattern == "..." || pkg == tree || all && strings.HasPrefix(pkg, tree+"/")
	})
}

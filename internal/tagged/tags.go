package tagged

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/reprise-go/reprise/internal/nearest"
)

// CheckTag finds what Go would read past in silence: a tag whose name is nearly
// "idempotency", that one given twice, and one that is not in the form which
// [reflect.StructTag] describes, so that Go does not see it.
func CheckTag(tag reflect.StructTag) error {
	names, ok := tagNames(string(tag))
	if !ok && strings.Contains(string(tag), tagName) {
		return fmt.Errorf("the tag %s is not in the form name:\"value\", so that Go does not read it", "`"+string(tag)+"`")
	}
	for i, name := range names {
		switch {
		case name == tagName && slices.Contains(names[:i], name):
			return fmt.Errorf("the tag %q is there twice", name)
		case name != tagName && nearest.Distance(strings.ToLower(name), tagName) <= 2:
			return fmt.Errorf("there is no tag %q; the nearest is %q", name, tagName)
		}
	}
	return nil
}

// tagNames returns the names in a struct tag, as far as it is in Go's form, and
// whether all of it is.
func tagNames(tag string) (names []string, ok bool) {
	for tag = strings.TrimLeft(tag, " "); tag != ""; tag = strings.TrimLeft(tag, " ") {
		name, rest, _ := strings.Cut(tag, ":")
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil || rest[0] != '"' || name == "" || strings.ContainsAny(name, " \t\",") {
			return names, false
		}
		names = append(names, name)
		tag = rest[len(quoted):]
	}
	return names, true
}

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
// "idempotency", or nearly one of the others that are given, one of these twice, and
// one that is not in the form which [reflect.StructTag] describes, so that Go does not
// see it.
func CheckTag(tag reflect.StructTag, others ...string) error {
	known := append([]string{tagName}, others...)
	names, ok := tagNames(string(tag))
	if !ok && concerns(string(tag), names, known) {
		return fmt.Errorf("the tag %s is not in the form name:\"value\", so that Go does not read it", "`"+string(tag)+"`")
	}
	for i, name := range names {
		likely := nearestTag(name, known)
		switch {
		case name == likely && slices.Contains(names[:i], name):
			return fmt.Errorf("the tag %q is there twice", name)
		case name != likely && likely != "":
			return fmt.Errorf("there is no tag %q; the nearest is %q", name, likely)
		}
	}
	return nil
}

// concerns reports whether a tag has one of the known names somewhere, or nearly.
func concerns(tag string, names, known []string) bool {
	return slices.ContainsFunc(known, func(name string) bool { return strings.Contains(tag, name) }) ||
		slices.ContainsFunc(names, func(name string) bool { return nearestTag(name, known) != "" })
}

// nearestTag returns the tag that was meant by a name, or "" if it is another's. The
// shorter a name, the more others are like it.
func nearestTag(name string, known []string) string {
	likely := nearest.Word(strings.ToLower(name), known)
	if nearest.Distance(strings.ToLower(name), likely) > min(2, (len(likely)+1)/3) {
		return ""
	}
	return likely
}

// tagNames returns the names in a struct tag, as far as it is in Go's form and that
// where it is not, and whether all of it is.
func tagNames(tag string) (names []string, ok bool) {
	for tag = strings.TrimLeft(tag, " "); tag != ""; tag = strings.TrimLeft(tag, " ") {
		name, rest, _ := strings.Cut(tag, ":")
		names = append(names, name)
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil || rest[0] != '"' || name == "" || strings.ContainsFunc(name, notInTagName) {
			return names, false
		}
		tag = rest[len(quoted):]
	}
	return names, true
}

// notInTagName knows what ends a name, and the comma that somebody has put between
// two tags.
func notInTagName(r rune) bool { return r <= ' ' || r == ',' || r == '"' || r == 0x7f }

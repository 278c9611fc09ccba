package tagged

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/reprise-go/reprise/internal/nearest"
)

const tagName = "idempotency"

// The words of a tag.
const (
	wordKey         = "key"
	wordScope       = "scope"
	wordFingerprint = "fingerprint"
	wordNot         = "-"
)

func words() []string { return []string{wordKey, wordScope, wordFingerprint, wordNot} }

// said is what a field's tag says.
type said struct {
	tag                       string // as written
	key, scope, counts, never bool
}

// readTag reads a field's tag; the zero said if it has none.
func readTag(field reflect.StructField) (said, error) {
	tag, ok := field.Tag.Lookup(tagName)
	if !ok {
		return said{}, nil
	}
	s := said{tag: tag}
	for word := range strings.SplitSeq(tag, ",") {
		if err := s.read(strings.TrimSpace(word)); err != nil {
			return said{}, err
		}
	}
	return s, s.check()
}

func (s *said) read(word string) error {
	flags := map[string]*bool{wordKey: &s.key, wordScope: &s.scope, wordFingerprint: &s.counts, wordNot: &s.never}
	flag := flags[word]
	switch {
	case flag == nil:
		return fmt.Errorf("there is no word %q; the nearest is %q", word, nearest.Word(word, words()))
	case *flag:
		return fmt.Errorf("the word %q is given twice", word)
	}
	*flag = true
	return nil
}

func (s *said) check() error {
	switch {
	case s.key && s.scope:
		return fmt.Errorf("%q and %q: a key that is its own scope keeps nobody apart", wordKey, wordScope)
	case s.key && s.counts:
		return fmt.Errorf("%q and %q: the key never counts", wordKey, wordFingerprint)
	case s.counts && s.never:
		return fmt.Errorf("%q and %q contradict each other", wordFingerprint, wordNot)
	}
	return nil
}

func (s said) String() string { return tagName + `:"` + s.tag + `"` }

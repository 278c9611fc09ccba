package idemgrpc

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// nearest ends the error for a path that does not exist with the name that was
// probably meant; "" if no name of the path is unknown.
func nearest(md protoreflect.MessageDescriptor, path string) string {
	for name := range strings.SplitSeq(path, ".") {
		if md == nil {
			return ""
		}
		field := md.Fields().ByName(protoreflect.Name(name))
		if field == nil {
			return nearestIn(md, name)
		}
		md = below(field)
	}
	return ""
}

func nearestIn(md protoreflect.MessageDescriptor, name string) string {
	found, least := "", 0
	for i := range md.Fields().Len() {
		candidate := string(md.Fields().Get(i).Name())
		if d := distance(name, candidate); found == "" || d < least {
			found, least = candidate, d
		}
	}
	if found == "" {
		return "; it has no fields"
	}
	return fmt.Sprintf("; the nearest is %q", found)
}

// distance is Levenshtein's: how many bytes to insert, remove or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

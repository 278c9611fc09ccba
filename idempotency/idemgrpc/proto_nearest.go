package idemgrpc

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	words "github.com/reprise-go/reprise/internal/nearest"
)

// nearest ends the error for a path that does not exist with the name that was
// probably meant; "" if no name of the path is unknown, or none is like it.
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
	fields := md.Fields()
	names := make([]string, fields.Len())
	for i := range names {
		names[i] = string(fields.Get(i).Name())
	}
	if len(names) == 0 {
		return "; it has no fields"
	}
	return likely(name, names)
}

// nearestMethod is nearest for the name of a method.
func nearestMethod(sd protoreflect.ServiceDescriptor, name string) string {
	names := make([]string, sd.Methods().Len())
	for i := range names {
		names[i] = string(sd.Methods().Get(i).Name())
	}
	return likely(name, names)
}

func likely(name string, names []string) string {
	if found := words.Near(name, names); found != "" {
		return fmt.Sprintf("; the nearest is %q", found)
	}
	return ""
}

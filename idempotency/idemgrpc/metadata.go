package idemgrpc

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// entry is one metadata value. Values of names that end in -bin are the raw
// bytes.
type entry struct{ name, value string }

// previousAttempts is how many attempts at a call gRPC itself has made before, as
// its clients say; 0 if they say nothing, or what is no such number.
func previousAttempts(md metadata.MD) int {
	values := md.Get("grpc-previous-rpc-attempts")
	if len(values) != 1 {
		return 0
	}
	n, err := strconv.ParseUint(values[0], 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}

// pickEntries returns the values of md that names lists, in the order of names
// and, for one name, in that of the handler.
func pickEntries(md metadata.MD, names []string) []entry {
	var picked []entry
	for _, name := range names {
		for _, value := range valuesOf(md, name) {
			picked = append(picked, entry{name, value})
		}
	}
	return picked
}

// valuesOf knows a name in whatever spelling a handler wrote it into the map.
func valuesOf(md metadata.MD, name string) []string {
	var values []string
	for _, key := range slices.Sorted(keysOf(md, name)) {
		values = append(values, md[key]...)
	}
	return values
}

// toMetadata leaves out what cannot be sent, which an older version may have
// recorded: grpc-go would refuse it together with all the rest.
func toMetadata(entries []entry) metadata.MD {
	md := make(metadata.MD, len(entries))
	for _, e := range entries {
		if isSendable(e.name, e.value) {
			md[e.name] = append(md[e.name], e.value)
		}
	}
	return md
}

// normalized returns what can be sent of a handler's metadata, with all names in
// lower case, and the error that grpc-go gives the handlers of streams for the rest.
func normalized(md metadata.MD) (metadata.MD, error) {
	out := make(metadata.MD, len(md))
	var wrong error
	for _, key := range slices.Sorted(maps.Keys(md)) {
		name := strings.ToLower(key)
		why := ""
		switch {
		case name == "":
			why = "there is an empty key in the header"
		case name[0] != ':' && !isMetadataName(name): // gRPC's own names begin so, and are never sent
			why = fmt.Sprintf("header key %q contains illegal characters not in [0-9a-z-_.]", name)
		case !isSendable(name, md[key]...):
			why = fmt.Sprintf("header key %q contains value with non-printable ASCII characters", name)
		}
		if why == "" {
			out[name] = append(out[name], md[key]...)
		} else if wrong == nil {
			wrong = status.Error(codes.Internal, why)
		}
	}
	return out, wrong
}

// isSendable reports whether values can be sent as they are under a name.
func isSendable(name string, values ...string) bool {
	if strings.HasSuffix(name, "-bin") {
		return true
	}
	return !slices.ContainsFunc(values, func(value string) bool {
		return strings.ContainsFunc(value, func(c rune) bool { return c < 0x20 || c > 0x7E })
	})
}

// recordedNames joins lists of names, each once, in lower case.
func recordedNames(lists ...[]string) []string {
	var names []string
	for _, list := range lists {
		for _, name := range lower(list) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// sendable leaves out the names that only HTTP has a use for: a guard's
// policy is for all transports.
func sendable(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return checkMetadataNames([]string{name}) != nil
	})
}

// checkMetadataNames examines names that are to be recorded. The error joins
// one per bad name, which says why it cannot be replayed.
func checkMetadataNames(names []string) error {
	var errs []error
	for _, name := range names {
		if why := unsafeMetadata(strings.ToLower(name)); why != "" {
			errs = append(errs, fmt.Errorf("metadata %q cannot be recorded: %s", name, why))
		}
	}
	return errors.Join(errs...)
}

// unsafeMetadata says why an entry must not be kept and given to another call;
// "" if nothing speaks against it.
func unsafeMetadata(name string) string {
	if !isMetadataName(name) {
		return "it is not a metadata name"
	}
	switch name {
	case "set-cookie", "set-cookie2", "cookie", "authorization", "www-authenticate", "clear-site-data":
		return "it belongs to one client's session"
	case "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "alt-svc", "host":
		return "it belongs to one connection"
	case "content-type", "content-length", "user-agent", "date", "server":
		return "the transport sets it on every answer"
	case "traceparent", "tracestate", "server-timing":
		return "it describes one call's trace"
	}
	switch {
	case strings.HasPrefix(name, "grpc-"):
		return "names beginning with grpc- are gRPC's own"
	case strings.HasPrefix(name, "proxy-"):
		return "it belongs to one connection"
	case strings.HasPrefix(name, "idempotency-"), strings.HasPrefix(name, "idempotent-"):
		return "the interceptor itself sets it"
	}
	return ""
}

// notForKeys knows request entries that mean something else.
func notForKeys(name string) bool {
	switch name {
	case "authorization", "cookie", "host", "connection", "te", "trailer", "transfer-encoding", "upgrade", "user-agent":
		return true
	}
	return strings.HasPrefix(name, "content-") || strings.HasPrefix(name, "proxy-") ||
		strings.HasPrefix(name, "grpc-") || strings.HasSuffix(name, "-bin")
}

// isMetadataName reports whether s, in lower case, is a name as the gRPC
// protocol spells one.
func isMetadataName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return s != ""
}

func lower(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = strings.ToLower(name)
	}
	return out
}

// keysOf are the spellings of a name in md.
func keysOf(md metadata.MD, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for key := range md {
			if strings.ToLower(key) == name && !yield(key) {
				return
			}
		}
	}
}

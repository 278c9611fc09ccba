package idemgrpc

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// The algorithms by which calls are compared, as records name them. Records
// outlive deployments: whoever changes what is hashed gives it a new name and
// keeps the old one computable.
const (
	plainFingerprint = "grpc/1" // the whole message
	// With a configuration, the first six hex digits of its digest follow: the
	// names are all that a store keeps of it, and have 8 bytes at most.
	configuredFingerprint = "g1"
	// Where order cannot be relied on, the first six hex digits follow of what is
	// configured and of where that is: see [unordered].
	blindFingerprint = "m1"
)

// fingerprinter is one algorithm for one method.
type fingerprinter struct {
	algorithm string
	method    string     // its full name
	without   *exclusion // fields that do not count
	metadata  []string   // request entries that count, sorted
	// configuration is the digest of without and metadata, nil if there are
	// none. The algorithm's name holds 24 bits of it only, the sum all.
	configuration []byte
	// former are algorithms that records may still name.
	former []fingerprinter
}

// newFingerprinter returns the algorithm for a method. Excluded are the key's
// field and others, by path. Errors name the path or the name.
func newFingerprinter(md protoreflect.MethodDescriptor, policy idempotency.Policy, excluded []string) (fingerprinter, error) {
	f := fingerprinter{algorithm: plainFingerprint, method: operationName(md)}
	if policy.Fingerprint == idempotency.FingerprintOff {
		f.algorithm = store.NoFingerprint
		return f, nil
	}
	for _, name := range lower(policy.FingerprintHeaders) {
		if !isMetadataName(name) || notForKeys(name) {
			return f, fmt.Errorf("FingerprintHeaders: metadata %q cannot count", name)
		}
		f.metadata = append(f.metadata, name)
	}
	slices.Sort(f.metadata)
	f.metadata = slices.Compact(f.metadata)
	for _, path := range excluded {
		found, err := findPath(md.Input(), path)
		if err != nil {
			return f, err
		}
		if f.without == nil {
			f.without = &exclusion{}
		}
		f.without.add(found)
	}
	if len(f.metadata)+len(excluded) > 0 {
		f.configuration = configurationOf(excluded, f.metadata)
		f.algorithm = configuredFingerprint + hex.EncodeToString(f.configuration[:3])
	}
	return f, nil
}

// formerSettings are what [FormerFingerprint] says.
type formerSettings struct{ methodSettings }

// formerFingerprinters are the algorithms of former configurations.
func formerFingerprinters(md protoreflect.MethodDescriptor, former []formerSettings) ([]fingerprinter, error) {
	all := make([]fingerprinter, 0, len(former))
	for _, set := range former {
		f, err := newFingerprinter(md, set.policy, set.uncounted())
		if err == nil {
			err = set.check(f)
		}
		if err != nil {
			return nil, fmt.Errorf("FormerFingerprint: %w", err)
		}
		all = append(all, f)
	}
	return all, nil
}

// check finds what would be of no effect, and nobody would hear of it.
func (s formerSettings) check(f fingerprinter) error {
	meant := idempotency.Policy{FingerprintHeaders: s.policy.FingerprintHeaders}
	switch {
	case s.keyFrom != nil, s.scopeField != "", s.keyFieldFormat != "", len(s.others)+len(s.former) > 0,
		!reflect.DeepEqual(s.policy, meant):
		return errors.New("only KeyField, Exclude and Policy.FingerprintHeaders are part of it")
	case f.configuration == nil:
		return errors.New("it says nothing; requests that were compared as a whole are always known")
	}
	return nil
}

// configurationOf digests a configuration: lists in another order are the same.
func configurationOf(lists ...[]string) []byte {
	h := frames{sha256.New()}
	for _, list := range lists {
		list = slices.Compact(slices.Sorted(slices.Values(list)))
		h.count(len(list))
		for _, s := range list {
			h.add([]byte(s))
		}
	}
	return h.Sum(nil)
}

// by returns the fingerprint of a call by the algorithm of that name, so that it
// can be compared with a record which a process with another configuration
// made: the simple ones, f itself and the former ones. What any other
// configuration leaves out cannot be known from its name; nor can a request be
// compared by what another process did not know of it. m is a message that
// [fingerprinter.of] has accepted.
func (f fingerprinter) by(algorithm string, m protoreflect.Message, md metadata.MD) (store.Fingerprint, bool) {
	if algorithm == store.NoFingerprint {
		return store.Fingerprint{Algorithm: algorithm}, true
	}
	for _, known := range append([]fingerprinter{f, {algorithm: plainFingerprint, method: f.method}}, f.former...) {
		if algorithm != known.algorithm && !strings.HasPrefix(algorithm, blindFingerprint) {
			continue
		}
		if made, err := known.of(m, md); err == nil && made.Algorithm == algorithm {
			return made, true
		}
	}
	return store.Fingerprint{}, false
}

// of digests what makes a call the same one again: the method, the canonical
// form of the message, and the configured metadata. Every part is preceded by
// its length, every list by its count. The error is errTooManyUnknown.
func (f fingerprinter) of(m protoreflect.Message, md metadata.MD) (store.Fingerprint, error) {
	if f.algorithm == store.NoFingerprint {
		return store.Fingerprint{Algorithm: f.algorithm}, nil
	}
	compared, err := canonical(m, f.without)
	if err != nil {
		return store.Fingerprint{}, err
	}
	h := frames{sha256.New()}
	h.add([]byte(f.method))
	h.add(compared.bytes)
	if f.configuration != nil {
		h.add(f.configuration)
		for _, name := range f.metadata {
			values := md.Get(name)
			h.count(len(values))
			for _, value := range values {
				h.add([]byte(value))
			}
		}
	}
	return store.Fingerprint{Algorithm: f.nameFor(compared.blind), Sum: [sha256.Size]byte(h.Sum(nil))}, nil
}

// nameFor is the algorithm's name for a form that is blind there.
func (f fingerprinter) nameFor(blind []string) string {
	if len(blind) == 0 {
		return f.algorithm
	}
	h := frames{sha256.New()}
	h.add(f.configuration)
	for _, where := range blind {
		h.add([]byte(where))
	}
	return blindFingerprint + hex.EncodeToString(h.Sum(nil)[:3])
}

// frames hashes parts so that no two lists of parts look alike.
type frames struct{ hash.Hash }

func (f frames) count(n int) {
	_, _ = f.Write(binary.BigEndian.AppendUint64(nil, uint64(n))) // a hash takes everything
}

func (f frames) add(part []byte) {
	f.count(len(part))
	_, _ = f.Write(part)
}

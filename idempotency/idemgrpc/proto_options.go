package idemgrpc

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc/policypb"
)

// methodOptions reads what a method's declaration in its .proto says: the policy
// option, and idempotency_level. Paths are checked against the method's request.
// All that is wrong is joined into one error; it is the caller's to name the
// method. The ranges of numbers and the names of metadata are checked with the
// rest of the policy.
func methodOptions(md protoreflect.MethodDescriptor) (methodSettings, error) {
	opts, err := resolvedOptions(md)
	if err != nil {
		return methodSettings{}, err
	}
	set := methodSettings{readOnly: opts.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS}
	if !proto.HasExtension(opts, policypb.E_Policy) {
		return set, nil
	}
	declared, _ := proto.GetExtension(opts, policypb.E_Policy).(*policypb.Policy)
	if err := errors.Join(set.read(declared), set.checkPaths(md.Input())); err != nil {
		return methodSettings{}, err
	}
	return set, nil
}

// resolvedOptions returns a method's options with the policy option as the type
// that is compiled in here. A descriptor that came over the network, from a file
// or out of a dynamic registry has it as unknown bytes or as a dynamic message.
func resolvedOptions(md protoreflect.MethodDescriptor) (*descriptorpb.MethodOptions, error) {
	raw, err := proto.MarshalOptions{AllowPartial: true}.Marshal(md.Options())
	if err != nil {
		return nil, fmt.Errorf("its options cannot be read: %w", err)
	}
	opts := new(descriptorpb.MethodOptions)
	err = proto.UnmarshalOptions{AllowPartial: true, Resolver: protoregistry.GlobalTypes}.Unmarshal(raw, opts)
	if err != nil {
		return nil, fmt.Errorf("its options cannot be read: %w", err)
	}
	return opts, nil
}

// read takes over what the option says.
func (s *methodSettings) read(p *policypb.Policy) error {
	if err := s.checkWhole(p); err != nil {
		return err
	}
	var r optionReader
	s.said = true
	s.keyField, s.scopeField, s.exclude = p.GetKeyField(), p.GetScopeField(), slices.Clone(p.GetExclude())
	s.keyFieldFormat = keyFormat(&r, "key_field_format", p.GetKeyFieldFormat())
	s.policy = idempotency.Policy{
		Key:       word(&r, "key", p.GetKey(), idempotency.KeyRequired, idempotency.KeyOptional, idempotency.KeyOff, idempotency.KeyShadow),
		KeyFormat: keyFormat(&r, "key_format", p.GetKeyFormat()),
		Retention: r.duration("retention", p.GetRetention()),
		Lease:     r.duration("lease", p.GetLease()),
		Wait:      r.wait(p),
		MaxHold:   r.duration("max_hold", p.GetMaxHold()),
		Orphan:    word(&r, "orphan", p.GetOrphan(), idempotency.OrphanRefuse, idempotency.OrphanRerunUnmarked, idempotency.OrphanRerun),
		Record:    word(&r, "record", p.GetRecord(), idempotency.RecordDeterministic, idempotency.RecordSuccess, idempotency.RecordAll),
		Failure:   word(&r, "failure", p.GetFailure(), idempotency.FailureReleases, idempotency.FailureUnknown),
		Stream:    word(&r, "stream", p.GetStream(), idempotency.StreamBuffer, idempotency.StreamPass),
		StoreDown: word(&r, "store_down", p.GetStoreDown(), idempotency.StoreDownClosed, idempotency.StoreDownOpen),
		Headers:   slices.Clone(p.GetRecordMetadata()),
	}
	return errors.Join(r.errs...)
}

// checkWhole refuses what contradicts itself.
func (s *methodSettings) checkWhole(p *policypb.Policy) error {
	if len(p.ProtoReflect().GetUnknown()) > 0 {
		// A rule that is not followed must not look as if it were.
		return errors.New("its policy says something that this version of the library does not know: its .proto is newer")
	}
	off := p.GetKey() == policypb.Key_KEY_OFF
	if s.readOnly && !off {
		return errors.New("idempotency_level = NO_SIDE_EFFECTS contradicts its policy: remove one of them, or say key: KEY_OFF")
	}
	if off && !proto.Equal(p, &policypb.Policy{Key: policypb.Key_KEY_OFF}) {
		return errors.New("key: KEY_OFF contradicts all else in its policy")
	}
	return nil
}

func (s *methodSettings) checkPaths(request protoreflect.MessageDescriptor) error {
	var errs []error
	for _, of := range []struct{ field, path string }{{"key_field", s.keyField}, {"scope_field", s.scopeField}} {
		if of.path == "" {
			continue
		}
		if _, err := valuePath(request, of.path); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w%s", of.field, err, nearest(request, of.path)))
		}
	}
	if s.keyField != "" && s.keyField == s.scopeField {
		errs = append(errs, fmt.Errorf("key_field and scope_field are both %q", s.keyField))
	}
	for i, path := range s.exclude {
		if _, err := findPath(request, path); err != nil {
			errs = append(errs, fmt.Errorf("exclude: %w%s", err, nearest(request, path)))
		}
		if slices.Contains(s.exclude[:i], path) {
			errs = append(errs, fmt.Errorf("exclude: %q is there twice", path))
		}
	}
	return errors.Join(errs...)
}

// optionReader translates fields and gathers what is wrong with them.
type optionReader struct{ errs []error }

func (r *optionReader) fail(format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf(format, args...))
}

// duration returns 0 for what is not said.
func (r *optionReader) duration(field string, d *durationpb.Duration) time.Duration {
	switch {
	case d == nil:
		return 0
	case d.CheckValid() != nil:
		r.fail("%s: {seconds: %d nanos: %d} is no duration", field, d.GetSeconds(), d.GetNanos())
	case d.AsDuration() <= 0:
		// Zero would mean "inherit" in a policy, the opposite of what is written.
		r.fail("%s: %v is not above zero", field, d.AsDuration())
	}
	return d.AsDuration()
}

func (r *optionReader) wait(p *policypb.Policy) time.Duration {
	said, ok := p.GetWaiting().(*policypb.Policy_NoWait)
	if !ok {
		return r.duration("wait", p.GetWait())
	}
	if !said.NoWait {
		r.fail("no_wait: only true has a meaning; say for how long with wait")
	}
	return idempotency.NoWait
}

func keyFormat(r *optionReader, field string, format policypb.KeyFormat) idempotency.KeyFormat {
	return word(r, field, format, idempotency.KeyAny, idempotency.KeyUUID, idempotency.KeyUUIDv4, idempotency.KeyUUIDv7)
}

// word translates an enum whose values, in order from 1, are the words. 0 is "",
// which inherits.
func word[T ~string, E interface {
	~int32
	fmt.Stringer
}](r *optionReader, field string, value E, words ...T) T {
	switch {
	case value == 0:
		return ""
	case value < 0 || int(value) > len(words):
		r.fail("%s: %v is a value that this version of the library does not know", field, value)
		return ""
	}
	return words[value-1]
}

package idemgrpc

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/reprise-go/reprise/idempotency/idemgrpc/policypb"
	"github.com/reprise-go/reprise/internal/keysyntax"
)

// clientPlan is what is known about a method. It is immutable.
type clientPlan struct {
	wanted bool
	drawn  drawn
	fields [2]string // where a key may be in the request: as declared, as configured
	path   fieldPath // that of the declared request; nil if it is not known, or has none
}

// drawn is how fresh keys are made, by the place where they are put.
type drawn struct{ inMetadata, inField func() string }

// drawnAs draws UUIDs of the version that the method wants, by default random
// ones.
func drawnAs(policy *policypb.Policy) drawn {
	d := drawn{inMetadata: keysyntax.Draw, inField: keysyntax.Draw}
	if policy.GetKeyFormat() == policypb.KeyFormat_KEY_FORMAT_UUID7 {
		d = drawn{inMetadata: keysyntax.DrawV7, inField: keysyntax.DrawV7}
	}
	switch policy.GetKeyFieldFormat() {
	case policypb.KeyFormat_KEY_FORMAT_UUID4:
		d.inField = keysyntax.Draw
	case policypb.KeyFormat_KEY_FORMAT_UUID7:
		d.inField = keysyntax.DrawV7
	default: // the others take whatever the policy's own takes
	}
	return d
}

func (d drawn) by(inField bool) func() string {
	if inField {
		return d.inField
	}
	return d.inMetadata
}

// plan returns what is known about a method, and finds it out at the first call.
func (c *Client) plan(method string) clientPlan {
	if known, ok := c.plans.Load(method); ok {
		plan, _ := known.(clientPlan)
		return plan
	}
	plan := c.planOf(method, linkedMethod(method))
	c.plans.Store(method, plan)
	return plan
}

// planOf makes the plan of a method; its descriptor is nil if it is not known.
func (c *Client) planOf(method string, md protoreflect.MethodDescriptor) clientPlan {
	said := saidOf(md)
	plan := clientPlan{drawn: drawnAs(said.policy)}
	switch {
	case said.off:
		return plan
	case c.opts.where != nil:
		plan.wanted = c.opts.where(method)
	default:
		plan.wanted = said.declared || c.opts.lists(method)
	}
	plan.fields = [...]string{said.policy.GetKeyField(), c.opts.field}
	if md != nil {
		plan.path = plan.find(md.Input())
	}
	if format := said.policy.GetKeyFieldFormat(); format == 0 && isWritable(plan.path) && isUUID4(plan.path[len(plan.path)-1]) {
		plan.drawn.inField = keysyntax.Draw
	}
	return plan
}

// lists says whether [SendKeysFor] named the method or its service.
func (o *clientOptions) lists(method string) bool {
	name := strings.TrimPrefix(method, "/")
	service, _, _ := strings.Cut(name, "/")
	return slices.Contains(o.methods, name) || slices.Contains(o.methods, service)
}

// linkedMethod returns the descriptor of a method whose generated code is in this
// program, or nil.
func linkedMethod(method string) protoreflect.MethodDescriptor {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(method, "/"), "/", "."))
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return nil
	}
	md, _ := d.(protoreflect.MethodDescriptor)
	return md
}

// said is what a .proto says, for a client's purposes.
type said struct {
	policy   *policypb.Policy
	declared bool
	off      bool
}

// saidOf reads less strictly than a server does: what is wrong or newer in a
// declaration is the server's to refuse, and a key is never in the way.
func saidOf(md protoreflect.MethodDescriptor) said {
	if md == nil {
		return said{}
	}
	opts, err := resolvedOptions(md)
	if err != nil {
		return said{}
	}
	policy, _ := proto.GetExtension(opts, policypb.E_Policy).(*policypb.Policy)
	return said{
		policy:   policy,
		declared: proto.HasExtension(opts, policypb.E_Policy),
		off: opts.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS ||
			policy.GetKey() == policypb.Key_KEY_OFF,
	}
}

// find returns the path of the first of the fields that a request has and that
// can hold a key, or nil.
func (p clientPlan) find(request protoreflect.MessageDescriptor) fieldPath {
	for _, field := range p.fields {
		if path, err := valuePath(request, field); err == nil {
			return path
		}
	}
	return nil
}

// pathIn returns the path in a request, which may be of a dynamic type, or of one
// that is known only now.
func (p clientPlan) pathIn(request protoreflect.Message) fieldPath {
	if p.path != nil && p.path[0].ContainingMessage() == request.Descriptor() {
		return p.path
	}
	return p.find(request.Descriptor())
}

// heldKey is the key that the caller put into the request; "" if there is none.
func (p clientPlan) heldKey(req any) string {
	message, ok := req.(proto.Message)
	if !ok {
		return ""
	}
	path := p.pathIn(message.ProtoReflect())
	if path == nil {
		return ""
	}
	key, _ := path.text(message.ProtoReflect())
	return key
}

// takesKey says whether a request has a field for a key that takes a string.
func (p clientPlan) takesKey(req any) bool {
	message, ok := req.(proto.Message)
	return ok && isWritable(p.pathIn(message.ProtoReflect()))
}

// withKey returns a copy of the request with the key in its field. False if it
// has none that takes a string.
func (p clientPlan) withKey(req any, key string) (proto.Message, bool) {
	message, ok := req.(proto.Message)
	if !ok || !p.takesKey(req) {
		return nil, false
	}
	keyed := proto.Clone(message)
	m := keyed.ProtoReflect()
	path := p.pathIn(m)
	for _, field := range path[:len(path)-1] {
		m = m.Mutable(field).Message()
	}
	m.Set(path[len(path)-1], protoreflect.ValueOfString(key))
	return keyed, true
}

func isWritable(path fieldPath) bool {
	return path != nil && path[len(path)-1].Kind() == protoreflect.StringKind
}

package tagged

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"reflect"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/store"
)

// The algorithms by which requests are compared, as records name them. Records
// outlive deployments: whoever changes what is hashed gives it a new name.
const (
	wholeAlgorithm  = "fn/1" // a value that is no struct, all of it
	structAlgorithm = "f1"   // a struct: six hex digits of what counts of it follow
)

// shape is the digest of the list of all that counts. Its first digits are part of
// the algorithm's name, so that processes for which different fields count never
// mistake a retry for another request.
type shape struct {
	algorithm string
	sum       [sha256.Size]byte
}

func (p *Plan) shapeWithout(without []*member) shape {
	if p.whole.kind != kindObject {
		return shape{algorithm: wholeAlgorithm}
	}
	counting := paths(nil, "", p.whole, without)
	hash := sha256.New()
	for _, path := range slices.Sorted(slices.Values(counting)) {
		_, _ = hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(path))))
		_, _ = hash.Write([]byte(path))
	}
	s := shape{sum: [sha256.Size]byte(hash.Sum(nil))}
	s.algorithm = structAlgorithm + hex.EncodeToString(s.sum[:3])
	return s
}

// paths appends the JSON Pointers of all that counts.
func paths(list []string, above string, v value, without []*member) []string {
	if v.kind != kindObject {
		return append(list, above)
	}
	for i := range v.members {
		m := &v.members[i]
		if !slices.Contains(without, m) {
			list = paths(list, above+"/"+pointerEscaper().Replace(m.name), m.value, without)
		}
	}
	return list
}

func pointerEscaper() *strings.Replacer { return strings.NewReplacer("~", "~0", "/", "~1") }

// Algorithm names what counts and how it is compared, as a record keeps it.
func (p *Plan) Algorithm() string { return p.shape.algorithm }

// Bound returns the fingerprint of a value, which is the digest of its canonical form
// and of the list of what counts, and the canonical form's length in bytes. A nil
// pointer has a fingerprint, too. Errors are those of
// [Plan.Fingerprint].
func (p *Plan) Bound(v reflect.Value) (store.Fingerprint, int, error) {
	return p.bound(v, p.shape, nil)
}

// BoundBy returns the fingerprint by an algorithm that another process made a record
// with. Known are this plan's own; that of requests which are bound by their key
// alone; and those of structs which lack one or two of the fields that this one has,
// for a value that does not set them: a deployment that adds a field must not make
// retries look like other requests, nor take a request that says more for the same.
// False for any other.
func (p *Plan) BoundBy(v reflect.Value, algorithm string) (store.Fingerprint, bool) {
	if algorithm == store.NoFingerprint {
		return store.Fingerprint{Algorithm: algorithm}, true
	}
	former, without, ok := p.former(algorithm)
	if !ok {
		return store.Fingerprint{}, false
	}
	bound, _, err := p.bound(v, former, without)
	return bound, err == nil
}

func (p *Plan) bound(v reflect.Value, s shape, without []*member) (store.Fingerprint, int, error) {
	spare, _ := p.spare.Get().(*[]byte)
	defer p.spare.Put(spare)
	framed := append((*spare)[:0], s.sum[:]...)
	framed, err := p.appendWithout(framed, v, without)
	if err != nil {
		return store.Fingerprint{}, 0, err
	}
	if cap(framed) <= maxSpare { // a giant must not stay
		*spare = framed
	}
	return store.Fingerprint{Algorithm: s.algorithm, Sum: sha256.Sum256(framed)}, len(framed) - len(s.sum), nil
}

// maxSpare bounds the buffers that are kept.
const maxSpare = 64 << 10

// maxFormer bounds for how many fields the pairs of them are tried.
const maxFormer = 64

// former finds the fields without which this plan had the algorithm's name.
func (p *Plan) former(algorithm string) (shape, []*member, bool) {
	if algorithm == p.shape.algorithm {
		return p.shape, nil, true
	}
	all := everyMember(nil, p.whole.members)
	for i, first := range all {
		if s, ok := p.named(algorithm, first); ok {
			return s, []*member{first}, true
		}
		for _, second := range all[i+1:] {
			if len(all) > maxFormer {
				break
			}
			if s, ok := p.named(algorithm, first, second); ok {
				return s, []*member{first, second}, true
			}
		}
	}
	return shape{}, nil, false
}

func (p *Plan) named(algorithm string, without ...*member) (shape, bool) {
	s := p.shapeWithout(without)
	return s, s.algorithm == algorithm
}

func everyMember(list []*member, members []member) []*member {
	for i := range members {
		list = append(list, &members[i])
		list = everyMember(list, members[i].value.members)
	}
	return list
}

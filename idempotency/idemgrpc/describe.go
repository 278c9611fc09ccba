package idemgrpc

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

// Description is what a recorded answer of a gRPC method holds: see
// [DescribeAnswer].
type Description struct {
	// Status has the code alone where the body was not kept.
	Status *status.Status
	// MessageType is the full name of the response's type; empty if [NewAnswer] was
	// given no message.
	MessageType string
	// MessageSizes are the lengths of the messages in bytes, in their order; for a
	// unary success, one.
	MessageSizes []int
	// Omitted is why messages and status are not there.
	Omitted store.Omission
	// Header and Trailer have the recorded entries only.
	Header, Trailer metadata.MD
}

// DescribeAnswer reads what a recorded answer holds, for people to look at. It
// needs none of the method's types. No round trip.
//
// Errors: [idempotency.ErrResultUnavailable] for an answer of another transport,
// [idempotency.ErrRecordUnreadable] for a damaged one.
func DescribeAnswer(recorded store.Answer) (Description, error) {
	a, err := decodeAnswer(recorded)
	if err != nil {
		return Description{}, &idempotency.Error{Code: undecodable(err), Err: err}
	}
	d := Description{
		Status: status.New(a.code, ""), MessageType: a.typeName, Omitted: a.omitted,
		Header: toMetadata(a.header), Trailer: toMetadata(a.trailer),
	}
	if a.code != codes.OK && a.omitted == store.BodyKept {
		var st statuspb.Status
		if err := proto.Unmarshal(a.status, &st); err == nil { // decodeAnswer has read it before
			d.Status = status.FromProto(&st)
		}
	}
	for _, message := range a.messages {
		d.MessageSizes = append(d.MessageSizes, len(message))
	}
	return d, nil
}

// AnswerLines is [DescribeAnswer] as names with values, in an order that is fit to
// be read: for pages and logs. What the service meant for its callers, which is
// the status message and the types of its details, is left out unless content is
// true. It fits an operator's page:
//
//	page, err := idemadmin.New(guard, idemadmin.Describe(idemgrpc.AnswerLines))
//
// Errors: those of DescribeAnswer.
func AnswerLines(recorded store.Answer, content bool) ([][2]string, error) {
	d, err := DescribeAnswer(recorded)
	if err != nil {
		return nil, err
	}
	lines := [][2]string{{"gRPC status", codeName(d.Status.Code())}}
	if content {
		lines = append(lines, statusLines(d.Status)...)
	}
	if d.MessageType != "" {
		lines = append(lines, [2]string{"Message type", d.MessageType})
	}
	if d.Omitted == store.BodyKept {
		lines = append(lines, [2]string{"Messages", sizes(d.MessageSizes)})
	}
	lines = append(lines, metadataLines("Header ", d.Header)...)
	return append(lines, metadataLines("Trailer ", d.Trailer)...), nil
}

// codeName is a code as the gRPC documentation spells it, "NOT_FOUND".
func codeName(c codes.Code) string { return code.Code(c).String() }

func statusLines(st *status.Status) [][2]string {
	var lines [][2]string
	if st.Message() != "" {
		lines = append(lines, [2]string{"Status message", st.Message()})
	}
	for _, detail := range st.Proto().GetDetails() {
		lines = append(lines, [2]string{"Status detail", string(detail.MessageName())})
	}
	return lines
}

// mostSizes bounds a line: a stream may have any number of messages.
const mostSizes = 20

func sizes(of []int) string {
	if len(of) == 0 {
		return "none"
	}
	words := make([]string, 0, mostSizes+1)
	for _, size := range of[:min(len(of), mostSizes)] {
		words = append(words, strconv.Itoa(size))
	}
	if len(of) > mostSizes {
		words = append(words, "…")
	}
	return strconv.Itoa(len(of)) + " of " + strings.Join(words, ", ") + " bytes"
}

func metadataLines(prefix string, md metadata.MD) [][2]string {
	var lines [][2]string
	for _, name := range slices.Sorted(maps.Keys(md)) {
		for _, value := range md[name] {
			if strings.HasSuffix(name, "-bin") {
				value = base64.StdEncoding.EncodeToString([]byte(value))
			}
			lines = append(lines, [2]string{prefix + name, value})
		}
	}
	return lines
}

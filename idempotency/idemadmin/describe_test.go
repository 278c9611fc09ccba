package idemadmin_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemadmin"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
	"github.com/reprise-go/reprise/store"
)

// recordedIs makes a record with that answer, and returns its path.
func (d *desk) recordedIs(answer store.Answer) string {
	d.t.Helper()
	op, err := d.guard.Operation("pay.v1.Pay/Create")
	require.NoError(d.t, err)
	_, err = op.Execute(d.t.Context(), idempotency.Call{Scope: "acme", Key: "k"}, func(context.Context) idempotency.Answer {
		return idempotency.Answer{Class: idempotency.ClassRecord, Answer: answer}
	})
	require.NoError(d.t, err)
	return "/records/" + d.guard.ID("pay.v1.Pay/Create", "acme", "k").String()
}

func TestAnswersOfAnotherTransportAreDescribed(t *testing.T) {
	t.Parallel()
	nobodys := func(store.Answer, bool) ([][2]string, error) { return nil, idempotency.ErrResultUnavailable }
	declined, err := idemgrpc.NewAnswer(idemgrpc.Settled{
		Status: status.New(codes.NotFound, "no <b>such\u202e</b> card"), Trailer: metadata.Pairs("x-cost", "2"),
	})
	require.NoError(t, err)
	for name, more := range map[string][]idemadmin.Option{"closed": nil, "open": {idemadmin.ShowAnswers()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, append(more, idemadmin.Describe(nobodys), idemadmin.Describe(idemgrpc.AnswerLines))...)
			path := d.recordedIs(declined)
			page := d.browse(path).Body.String()
			_, body := d.call("GET", path, "")
			answer := body["answer"].(map[string]any)
			assert.Contains(t, page, "<dt>gRPC status</dt><dd><code>NOT_FOUND</code></dd>")
			assert.Contains(t, page, "<dt>Trailer x-cost</dt><dd><code>2</code></dd>")
			assert.Equal(t, map[string]any{"name": "gRPC status", "value": "NOT_FOUND"}, answer["lines"].([]any)[0])
			assert.Nil(t, answer["trouble"])
			assert.Nil(t, answer["status"])
			if name == "closed" {
				assert.NotContains(t, page, "such")
				return
			}
			assert.Contains(t, page, `no &lt;b&gt;such\u{202E}&lt;/b&gt; card`)
		})
	}
}

func TestAnswersThatNobodyDescribes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		codec  string
		option idemadmin.Option
	}{
		{"of an unknown transport", "pigeon/1", idemadmin.Describe(idemgrpc.AnswerLines)},
		{"damaged", "grpc/1", idemadmin.Describe(idemgrpc.AnswerLines)},
		{"by a function that fails", "other/1", idemadmin.Describe(func(store.Answer, bool) ([][2]string, error) {
			return nil, errors.New("secret reason")
		})},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, test.option)
			path := d.recordedIs(store.Answer{Codec: test.codec, Meta: []byte{0xff}, Body: []byte("12345")})
			_, body := d.call("GET", path, "")
			answer := body["answer"].(map[string]any)
			assert.Contains(t, answer["trouble"], "a transport that this page knows")
			assert.InDelta(t, 5, answer["bytes"], 0)
			assert.NotContains(t, d.browse(path).Body.String(), "secret")
		})
	}
	_, err := idemadmin.New(newDesk(t).guard, idemadmin.Describe(nil))
	require.ErrorContains(t, err, "Describe: the function is nil")
}

// A gRPC method may take UUIDs in one field only, of which its policy knows nothing.
func TestAUUIDIsFoundInWhateverCaseItIsTyped(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const upper, lower = "9F1C7B1E-58F5-4B0E-A5CE-0D3B6A2F4C11", "9f1c7b1e-58f5-4b0e-a5ce-0d3b6a2f4c11"
	find := func() any {
		_, got := d.call("POST", "/find", `{"operation":"`+operation+`","scope":"acme","key":"`+upper+`"}`)
		return got["id"]
	}
	d.post(lower, "")
	assert.Equal(t, d.id(lower).String(), find())
	d.post(upper, "")
	assert.Equal(t, d.id(upper).String(), find(), "what is there as it was typed comes first")
}

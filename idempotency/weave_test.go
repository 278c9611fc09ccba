package idempotency_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
)

type payFunc func(context.Context, pay) (paid, error)

// service has a function of each kind that Weave has to do with.
type service struct {
	Create payFunc                                    `idempotency:"payments.create, retention=1h , wait=2s"`
	Refund func(context.Context, *pay) (*paid, error) `idempotency:"payments.refund"`
	Get    func(string) string                        `idempotency:"-"`
	Name   string
	Admin  struct {
		Purge func(context.Context, pay) (int, error) `idempotency:"payments.purge,optional"`
	}
	hidden func()
}

func TestWeave_ProtectsTheFunctionsOfAStruct_R1(t *testing.T) {
	t.Parallel()
	var w worker
	refunds, purges := 0, 0
	svc := service{
		Create: w.pay,
		Refund: func(_ context.Context, in *pay) (*paid, error) {
			refunds++
			if in.Amount == 0 {
				return nil, idempotency.Final(errCard)
			}
			return &paid{Run: refunds}, nil
		},
		Get:    func(s string) string { return s },
		hidden: func() {},
	}
	svc.Admin.Purge = func(context.Context, pay) (int, error) {
		purges++
		return purges, nil
	}
	p := start(t, newBackend())
	names := idempotency.ErrorNames(map[string]error{"card": errCard})
	require.NoError(t, idempotency.Weave(p.guard, &svc, idempotency.Policy{MinRetention: time.Minute, Retention: 2 * time.Hour}, names))
	for range 2 {
		got, err := svc.Create(t.Context(), input("k"))
		require.NoError(t, err)
		assert.Equal(t, paid{Run: 1, Amount: 7}, got)
		refund, err := svc.Refund(t.Context(), new(input("k")))
		require.NoError(t, err)
		assert.Equal(t, &paid{Run: 1}, refund)
		none, err := svc.Refund(t.Context(), &pay{ID: "l", Merchant: "m"})
		require.ErrorIs(t, err, errCard)
		assert.Nil(t, none)
		purged, err := svc.Admin.Purge(t.Context(), input("k"))
		require.NoError(t, err)
		assert.Equal(t, 1, purged)
		assert.Equal(t, "x", svc.Get("x"))
	}
	assert.Equal(t, 2, refunds)
	assert.Equal(t, []string{"payments.create", "payments.purge", "payments.refund"}, p.guard.Operations())
	policyOf := func(name string) idempotency.Policy {
		op, _ := p.guard.Registered(name)
		return op.Policy()
	}
	assert.Equal(t, time.Hour, policyOf("payments.create").Retention, "the tag overrides the option")
	assert.Equal(t, time.Minute, policyOf("payments.create").MinRetention)
	assert.Equal(t, 2*time.Second, policyOf("payments.create").Wait)
	assert.Equal(t, 2*time.Hour, policyOf("payments.refund").Retention)
	assert.Equal(t, idempotency.KeyOptional, policyOf("payments.purge").Key)
	_, err := svc.Refund(t.Context(), nil)
	assert.ErrorIs(t, err, idempotency.ErrKeyMissing)
	_, err = svc.Create(nil, input("k"))
	assert.EqualError(t, err, "idempotency: the context is nil")
}

// The types are named like the mistake that is in them.
type (
	NoTag struct {
		Create func(context.Context, pay) (paid, error)
	}
	NoName struct {
		Create func(context.Context, pay) (paid, error) `idempotency:",required"`
	}
	SameName struct {
		Create func(context.Context, pay) (paid, error) `idempotency:"pay"`
		Refund func(context.Context, pay) (paid, error) `idempotency:"pay"`
	}
	UnknownPolicyWord struct {
		Create func(context.Context, pay) (paid, error) `idempotency:"pay,retnetion=1h"`
	}
	WordTwice struct {
		Create func(context.Context, pay) (paid, error) `idempotency:"pay,required,off"`
	}
	BadPolicy struct {
		Create func(context.Context, pay) (paid, error) `idempotency:"pay,retention=1ms"`
	}
	ForHTTP struct {
		Create func(context.Context, pay) (paid, error) `idempotency:"pay,headers=X-A,stream=pass,max-request-body=1KiB,fingerprint=json,fingerprint-only=/a,fingerprint-headers=X-B"`
	}
	NoContext struct {
		Create func(pay) (paid, error) `idempotency:"pay"`
	}
	NoError struct {
		Create func(context.Context, pay) paid `idempotency:"pay"`
	}
	Variadic struct {
		Create func(context.Context, ...pay) (paid, error) `idempotency:"pay"`
	}
	NoFunction struct {
		Create string `idempotency:"pay"`
	}
	NilFunction struct {
		Create func(context.Context, pay) (paid, error) `idempotency:"pay"`
	}
	HiddenFunction struct {
		create func(context.Context, pay) (paid, error) `idempotency:"pay"`
	}
	Nothing struct{ Name string }
	badIn   struct {
		ID float64 `idempotency:"key"`
	}
	WrongInput struct {
		Create func(context.Context, badIn) (paid, error) `idempotency:"pay"`
	}
	numbered struct {
		ID     int64  `idempotency:"key"`
		Tenant string `idempotency:"scope"`
	}
	NumberAsUUID struct {
		Create func(context.Context, *numbered) (paid, error) `idempotency:"pay,key-format=uuid4"`
	}
	OffBesideTags struct {
		Create func(context.Context, pay) (paid, error) `idempotency:"pay,fingerprint=off"`
	}
	Nested     struct{ Inner NoName }
	OffAndMore struct {
		Create func(context.Context, pay) (paid, error) `idempotency:"pay,off,retention=1h"`
	}
	MoreUnderOff struct {
		Create func(context.Context, pay) (paid, error) `idempotency:"pay,retention=1h"`
	}
	WaitersWithoutWait struct {
		Create func(context.Context, pay) (paid, error) `idempotency:"pay,max-waiters=5"`
	}
)

func TestWrongDeclarationsOfFunctionsAreFoundAtConstruction_F15(t *testing.T) {
	t.Parallel()
	create := func(context.Context, pay) (paid, error) { return paid{}, nil }
	_ = HiddenFunction{create: create}
	wrap := func(g *idempotency.Guard, name string, opts ...idempotency.OperationOption) error {
		wrapped, err := idempotency.Wrap(g, name, create, opts...)
		assert.Nil(t, wrapped)
		return err
	}
	weave := func(v any, opts ...idempotency.OperationOption) func(*idempotency.Guard) error {
		return func(g *idempotency.Guard) error { return idempotency.Weave(g, v, opts...) }
	}
	number := func(context.Context, *numbered) (paid, error) { return paid{}, nil }
	do := func(in any, opts ...idempotency.OperationOption) func(*idempotency.Guard) error {
		return func(g *idempotency.Guard) error {
			_, _, err := idempotency.Do(t.Context(), g, idempotency.Request{Operation: "pay", Input: in},
				func(context.Context) (int, error) { return 0, nil }, opts...)
			return err
		}
	}
	uuids, off := idempotency.Policy{KeyFormat: idempotency.KeyUUID}, idempotency.Policy{Fingerprint: idempotency.FingerprintOff}
	hour := idempotency.Policy{Retention: time.Hour}
	tests := []struct {
		name    string
		declare func(*idempotency.Guard) error
		want    string
	}{
		{"weave nothing", weave(nil), `idempotency: Weave: <nil> is no pointer to a struct of functions`},
		{"weave a struct", weave(Nothing{}), `idempotency: Weave: idempotency_test.Nothing is no pointer to a struct of functions`},
		{"weave a nil pointer", weave((*Nothing)(nil)), `idempotency: Weave: *idempotency_test.Nothing is no pointer to a struct of functions`},
		{"no guard", func(*idempotency.Guard) error { return idempotency.Weave(nil, &Nothing{}) }, `idempotency: Weave: the guard is nil`},
		{"no function", weave(&Nothing{}), `idempotency: Weave: idempotency_test.Nothing has no function with a tag`},
		{"no tag", weave(&NoTag{create}), `idempotency: Weave: NoTag.Create: it has no tag idempotency:"operation,policy"; say idempotency:"-" if it is not to be protected`},
		{"no name", weave(&NoName{create}), `idempotency: Weave: NoName.Create: idempotency:",required": the first word is the operation's name, and it is empty`},
		{"nested", weave(&Nested{NoName{create}}), `idempotency: Weave: NoName.Create: idempotency:",required": the first word is the operation's name, and it is empty`},
		{"one name twice", weave(&SameName{create, create}), `idempotency: Weave: SameName.Refund: idempotency:"pay": operation "pay" is that of SameName.Create`},
		{"unknown word", weave(&UnknownPolicyWord{create}), `idempotency: Weave: UnknownPolicyWord.Create: idempotency:"pay,retnetion=1h", after the operation's name: idempotency: policy: word 1, at byte 0, "retnetion=1h": there is no such word; the nearest is "retention="`},
		{"a word twice", weave(&WordTwice{create}), `idempotency: Weave: WordTwice.Create: idempotency:"pay,required,off", after the operation's name: idempotency: policy: word 2, at byte 9, "off": word 1 says that already`},
		{"out of bounds", weave(&BadPolicy{create}), `idempotency: Weave: BadPolicy.Create: idempotency: operation "pay": `},
		{"for HTTP", weave(&ForHTTP{create}), "idempotency: Weave: ForHTTP.Create: " +
			"Fingerprint is for HTTP; what counts of a function's input, its struct's tags say\n" +
			"FingerprintHeaders is for HTTP; what counts of a function's input, its struct's tags say\n" +
			"FingerprintOnly is for HTTP; what counts of a function's input, its struct's tags say\n" +
			"Headers is for HTTP; functions have none\n" +
			"MaxRequestBody is for HTTP; a function's input is there already\n" +
			"Stream is for HTTP; a function's result is recorded as a whole"},
		{"no context", weave(&NoContext{func(pay) (paid, error) { return paid{}, nil }}), `idempotency: Weave: NoContext.Create: func(idempotency_test.pay) (idempotency_test.paid, error) is not func(context.Context, In) (Out, error)`},
		{"no error", weave(&NoError{}), `idempotency: Weave: NoError.Create: func(context.Context, idempotency_test.pay) idempotency_test.paid is not func(context.Context, In) (Out, error)`},
		{"variadic", weave(&Variadic{}), `idempotency: Weave: Variadic.Create: func(context.Context, ...idempotency_test.pay) (idempotency_test.paid, error) is not func(context.Context, In) (Out, error)`},
		{"no function at a tag", weave(&NoFunction{}), `idempotency: Weave: NoFunction.Create: idempotency:"pay": string is no function`},
		{"nil function", weave(&NilFunction{}), `idempotency: Weave: NilFunction.Create: the function is nil`},
		{"not exported", weave(&HiddenFunction{}), `idempotency: Weave: HiddenFunction.create: idempotency:"pay": the field is not exported`},
		{"wrong input", weave(&WrongInput{func(context.Context, badIn) (paid, error) { return paid{}, nil }}), `idempotency: Weave: WrongInput.Create: badIn.ID: idempotency:"key": float64 has no text form: it must be a string, an integer, or an encoding.TextMarshaler`},
		{"registered otherwise", func(g *idempotency.Guard) error {
			_, err := g.Operation("pay", idempotency.Policy{Retention: time.Hour})
			require.NoError(t, err)
			return idempotency.Weave(g, &NilFunction{create})
		}, `idempotency: Weave: NilFunction.Create: idempotency: operation "pay" is registered already, with another policy or a Reconcile`},
		{"wrap without a guard", func(*idempotency.Guard) error { return wrap(nil, "pay") }, `idempotency: Wrap: the guard or the function is nil`},
		{"wrap without a name", func(g *idempotency.Guard) error { return wrap(g, "") }, `idempotency: Wrap: operation "": idempotency: operation name has 0 bytes, not 1 to 255`},
		{"wrap with a nil option", func(g *idempotency.Guard) error { return wrap(g, "pay", nil) }, `idempotency: Wrap: operation "pay": a nil option`},
		{"a nil codec", func(g *idempotency.Guard) error { return wrap(g, "pay", idempotency.WithCodec(nil)) }, `idempotency: Wrap: operation "pay": WithCodec: the codec is nil`},
		{"a long codec", func(g *idempotency.Guard) error { return wrap(g, "pay", idempotency.WithCodec(named("protobuf/1"))) }, `idempotency: Wrap: operation "pay": WithCodec: the codec's name "protobuf/1" is not 1 to 8 characters of visible ASCII`},
		{"a transport's codec", func(g *idempotency.Guard) error { return wrap(g, "pay", idempotency.WithCodec(named("http/1"))) }, `idempotency: Wrap: operation "pay": WithCodec: the codec's name "http/1" is one of a transport's`},
		{"a codec that is a nil pointer", func(g *idempotency.Guard) error {
			return wrap(g, "pay", idempotency.WithCodec((*moody)(nil)))
		}, `idempotency: Wrap: operation "pay": WithCodec: the codec is nil`},
		{"two codecs", func(g *idempotency.Guard) error {
			return wrap(g, "pay", idempotency.WithCodec(named("a/1")), idempotency.WithCodec(named("b/1")))
		}, `idempotency: Wrap: operation "pay": WithCodec is given twice`},
		{"an error without a name", func(g *idempotency.Guard) error {
			return wrap(g, "pay", idempotency.ErrorNames(map[string]error{"": errCard}))
		}, `idempotency: Wrap: operation "pay": ErrorNames: a name is empty`},
		{"a name without an error", func(g *idempotency.Guard) error {
			return wrap(g, "pay", idempotency.ErrorNames(map[string]error{"card": nil}))
		}, `idempotency: Wrap: operation "pay": ErrorNames: "card" has no error`},
		{"a name twice", func(g *idempotency.Guard) error {
			return wrap(g, "pay", idempotency.ErrorNames(map[string]error{"card": errCard}), idempotency.ErrorNames(map[string]error{"card": context.Canceled}))
		}, `idempotency: Wrap: operation "pay": ErrorNames: "card" is given twice`},
		{"a name for two errors of one text", func(g *idempotency.Guard) error {
			return wrap(g, "pay", idempotency.ErrorNames(map[string]error{"card": errors.New("card")}), idempotency.ErrorNames(map[string]error{"card": errors.New("card")}))
		}, `idempotency: Wrap: operation "pay": ErrorNames: "card" is given twice`},
		{"too many names", func(g *idempotency.Guard) error {
			names := make(map[string]error)
			for i := range 1025 {
				names[strconv.Itoa(i)] = errCard
			}
			return wrap(g, "pay", idempotency.ErrorNames(names))
		}, `idempotency: Wrap: operation "pay": ErrorNames: 1025 names are more than 1024`},
		{"an option of functions for an operation", func(g *idempotency.Guard) error {
			_, err := g.Operation("pay", idempotency.WithCodec(idempotency.JSONCodec()))
			return err
		}, `idempotency: operation "pay": WithCodec is for Do, Wrap and Weave`},
		{"do without a function", func(g *idempotency.Guard) error {
			_, _, err := idempotency.Do[int](t.Context(), g, idempotency.Request{}, nil)
			return err
		}, `idempotency: Do: the guard or the function is nil`},
		{"do with a channel", do(make(chan int)), `idempotency: Do: chan int: a chan has no JSON form`},
		{"a number as a UUID", weave(&NumberAsUUID{number}), `idempotency: Weave: NumberAsUUID.Create: KeyFormat is "uuid4", and the key numbered.ID is never a UUID: its type is int64`},
		{"wrap a number as a UUID", func(g *idempotency.Guard) error {
			_, err := idempotency.Wrap(g, "pay", number, uuids)
			return err
		}, `idempotency: Wrap: operation "pay": KeyFormat is "uuid", and the key numbered.ID is never a UUID: its type is int64`},
		{"do a number as a UUID", do(numbered{ID: 7, Tenant: "m"}, uuids), `idempotency: Do: KeyFormat is "uuid", and the key numbered.ID is never a UUID: its type is int64`},
		{"fingerprint=off beside tags", weave(&OffBesideTags{create}), `idempotency: Weave: OffBesideTags.Create: Fingerprint is "off", and the tags of pay say what counts: leave one of them out`},
		{"wrap with fingerprint=off beside tags", func(g *idempotency.Guard) error { return wrap(g, "pay", off) }, `idempotency: Wrap: operation "pay": Fingerprint is "off", and the tags of pay say what counts: leave one of them out`},
		{"do with fingerprint=off beside tags", do(input("k"), off), `idempotency: Do: Fingerprint is "off", and the tags of pay say what counts: leave one of them out`},
		{"two policies", func(g *idempotency.Guard) error { return wrap(g, "pay", hour, idempotency.Policy{Wait: time.Second}) }, `idempotency: Wrap: operation "pay": two policies, "retention=1h" and "wait=1s": say one, or merge them by Policy.Override`},
		{"weave with two policies", weave(&NilFunction{create}, hour, hour), `idempotency: Weave: NilFunction.Create: two policies, "retention=1h" and "retention=1h": say one, or merge them by Policy.Override`},
		{"do with two policies", do(input("k"), hour, hour), `idempotency: Do: two policies, "retention=1h" and "retention=1h": say one, or merge them by Policy.Override`},
		{"a struct without a name", weave(&struct{ Create payFunc }{create}), `idempotency: Weave: struct.Create: it has no tag idempotency:"operation,policy"; say idempotency:"-" if it is not to be protected`},
		{"a struct without a name or a function", weave(&struct{ Name string }{}), `idempotency: Weave: struct has no function with a tag`},
		{"off and more", weave(&OffAndMore{create}), `idempotency: Weave: OffAndMore.Create: "off" stands with other words, which would have no effect: say "off" alone, or what protects it`},
		{"more under options that say off", weave(&MoreUnderOff{create}, idempotency.Policy{Key: idempotency.KeyOff}), `idempotency: Weave: MoreUnderOff.Create: the guard's or the options' policy is "off", so that these words would have no effect: say "required" or "optional" as well, or "off" alone`},
		{"waiters without a wait", weave(&WaitersWithoutWait{create}, idempotency.Policy{MaxWaiters: 9}), `idempotency: Weave: WaitersWithoutWait.Create: "max-waiters" without "wait" would have no effect: nobody waits`},
		{"an input without a name", do(struct{ Done chan int }{}), `idempotency: Do: struct.Done: a chan has no JSON form: leave it out by json:"-" or idempotency:"-"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			guard := start(t, newBackend()).guard
			err := tt.declare(guard)
			require.Error(t, err)
			if tt.name != "registered otherwise" {
				assert.Empty(t, guard.Operations(), "nothing is registered after a mistake")
			}
			if tt.name == "out of bounds" { // the rest is Validate's to say
				assert.Contains(t, err.Error(), tt.want)
				return
			}
			assert.Equal(t, tt.want, err.Error())
		})
	}
}

// named is a codec with that name.
type named string

func (n named) Name() string             { return string(n) }
func (named) Encode(any) ([]byte, error) { return nil, nil }
func (named) Decode([]byte, any) error   { return nil }

// What nothing asks for is no mistake: a key is ignored under off, and a word about what
// counts says nothing where nothing could count.
func TestWhatLooksLikeAWrongDeclarationAndIsNone(t *testing.T) {
	t.Parallel()
	type hooked struct {
		ID   string `idempotency:"key,-"`
		Then func() `idempotency:"-"`
	}
	guard := start(t, newBackend()).guard
	wrapped := func(name string, opts ...idempotency.OperationOption) error {
		_, err := idempotency.Wrap(guard, name, func(context.Context, numbered) (int, error) { return 0, nil }, opts...)
		return err
	}
	require.NoError(t, wrapped("off", idempotency.Policy{Key: idempotency.KeyOff, KeyFormat: idempotency.KeyUUID}))
	require.NoError(t, wrapped("any", idempotency.Policy{KeyFormat: idempotency.KeyAny}))
	_, err := idempotency.Wrap(guard, "hooked", func(context.Context, hooked) (int, error) { return 0, nil },
		idempotency.GlobalScope(), idempotency.Policy{Fingerprint: idempotency.FingerprintOff, KeyFormat: idempotency.KeyUUID})
	require.NoError(t, err)
	create := new(worker).pay
	require.NoError(t, idempotency.Weave(guard, &MoreUnderOff{create}, idempotency.Policy{Key: idempotency.KeyOptional, MaxWaiters: 9}))
	require.NoError(t, idempotency.Weave(guard, &struct {
		Create payFunc `idempotency:"create,required,retention=1h"`
		Refund payFunc `idempotency:"refund,off"`
	}{create, create}, idempotency.Policy{Key: idempotency.KeyOff, Retention: 2 * time.Hour}))
	require.NoError(t, idempotency.Weave(guard, &struct {
		Void payFunc `idempotency:"void,max-waiters=5"`
	}{create}, idempotency.Policy{Wait: time.Second}))
}

// A struct with a mistake in one field is woven once that is mended: of the others
// nothing has stayed.
func TestWeave_RegistersAllOperationsOrNone(t *testing.T) {
	t.Parallel()
	var w worker
	type desk struct {
		Create payFunc `idempotency:"create,retention=1h"`
		Refund payFunc `idempotency:"refund"`
		Void   payFunc `idempotency:"void"`
	}
	guard := start(t, newBackend()).guard
	_, err := guard.Operation("void", idempotency.Policy{Retention: 2 * time.Hour})
	require.NoError(t, err)
	require.ErrorContains(t, idempotency.Weave(guard, &desk{w.pay, w.pay, w.pay}), `Void: idempotency: operation "void" is registered already`)
	assert.Equal(t, []string{"void"}, guard.Operations())
	require.NoError(t, idempotency.Weave(guard, &struct {
		Create payFunc `idempotency:"create,retention=3h"`
		Refund payFunc `idempotency:"refund,optional"`
		Void   payFunc `idempotency:"void,retention=2h"`
	}{w.pay, w.pay, w.pay}))
}

func TestWeave_ReplacesNothingAfterAMistake(t *testing.T) {
	t.Parallel()
	runs := 0
	svc := struct {
		Create func(context.Context, pay) (paid, error) `idempotency:"create"`
		Refund func(context.Context, pay) (paid, error) `idempotency:"refund,requird"`
	}{Create: func(context.Context, pay) (paid, error) {
		runs++
		return paid{}, nil
	}}
	require.Error(t, idempotency.Weave(start(t, newBackend()).guard, &svc))
	for range 2 {
		_, err := svc.Create(t.Context(), input("k"))
		require.NoError(t, err)
	}
	assert.Equal(t, 2, runs)
}

package idempotency_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

func TestAnotherRequestUnderTheSameKeyIsAMismatch(t *testing.T) {
	t.Parallel()
	other := call("k")
	other.Fingerprint = fingerprint("another body")
	mismatch := func(t *testing.T, p *process, op *idempotency.Operation) {
		t.Helper()
		before := p.node.count("")
		_, err := op.Execute(t.Context(), other, forbidden(t))
		assert.Zero(t, refusal(t, err, idempotency.ErrKeyReused).RetryAfter)
		assert.Equal(t, before+1, p.node.count(""))
	}
	t.Run("F1 completed: the answer stays untouched", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := start(t, newBackend())
			op := p.operation(t)
			_, err := op.Execute(t.Context(), call("k"), gives(recorded("a")))
			require.NoError(t, err)
			mismatch(t, p, op)
			again, err := op.Execute(t.Context(), call("k"), forbidden(t))
			require.NoError(t, err)
			assert.Equal(t, recorded("a"), again.Answer)
		})
	})
	t.Run("F2 running: mismatch beats in progress", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := start(t, newBackend())
			op := p.operation(t)
			w := newWork(t)
			first := begin(t.Context(), op, call("k"), w.run)
			synctest.Wait()
			mismatch(t, p, op)
			w.end <- recorded("a")
			_, err := first.wait()
			require.NoError(t, err)
		})
	})
	t.Run("F22 released: the binding survives", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := start(t, newBackend())
			op := p.operation(t)
			_, err := op.Execute(t.Context(), call("k"), gives(answer(idempotency.ClassRelease, "503")))
			require.NoError(t, err)
			mismatch(t, p, op)
		})
	})
}

func TestFingerprintByAnotherAlgorithm_F23(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		by   func(string) (store.Fingerprint, bool)
		code idempotency.Code // none: a replay
	}{
		{"nobody to ask", nil, idempotency.ErrRecordUnreadable},
		{"unknown", func(string) (store.Fingerprint, bool) { return store.Fingerprint{}, false }, idempotency.ErrRecordUnreadable},
		{"known and equal", func(string) (store.Fingerprint, bool) { return fingerprint("body"), true }, ""},
		{"known and different", func(string) (store.Fingerprint, bool) { return fingerprint("other"), true }, idempotency.ErrKeyReused},
	}
	for _, strict := range []bool{false, true} {
		for _, tt := range tests {
			name := tt.name
			var opts []idempotency.Option
			if strict {
				name, opts = name+", strict keys", []idempotency.Option{idempotency.StrictKeys()}
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					op := start(t, newBackend(), opts...).operation(t)
					_, err := op.Execute(t.Context(), call("k"), gives(recorded("a")))
					require.NoError(t, err)

					newer := call("k")
					newer.Fingerprint.Algorithm = "sha512"
					newer.FingerprintBy = tt.by
					result, err := op.Execute(t.Context(), newer, forbidden(t))
					if tt.code == "" {
						require.NoError(t, err)
						assert.Equal(t, recorded("a"), result.Answer)
						return
					}
					refusal(t, err, tt.code)
				})
			})
		}
	}
}

func TestRunByAnotherAlgorithmIsRecordedUnderIt_F23(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t)
		_, err := op.Execute(t.Context(), call("k"), gives(answer(idempotency.ClassRelease, "503")))
		require.NoError(t, err)

		newer := call("k")
		newer.Fingerprint.Algorithm = "sha512"
		newer.FingerprintBy = func(algorithm string) (store.Fingerprint, bool) {
			assert.Equal(t, "sha256", algorithm)
			return fingerprint("body"), true
		}
		result, err := op.Execute(t.Context(), newer, gives(recorded("a")))
		require.NoError(t, err)
		assert.True(t, result.Recorded)
		assert.Equal(t, 2, result.Attempt)
		again, err := op.Execute(t.Context(), call("k"), forbidden(t))
		require.NoError(t, err)
		assert.Equal(t, recorded("a"), again.Answer)
	})
}

func TestIdentityIsScopeOperationAndKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		refund, err := p.guard.Operation("refund", idempotency.Policy{})
		require.NoError(t, err)
		other := call("k")
		other.Scope = "other tenant"
		tests := []struct {
			name string
			op   *idempotency.Operation
			call idempotency.Call
		}{
			{"first", p.operation(t), call("k")},
			{"A1 another scope", p.operation(t), other},
			{"C11 another key, same payload", p.operation(t), call("l")},
			{"F4 another operation", refund, call("k")},
		}
		for _, tt := range tests {
			result, err := tt.op.Execute(t.Context(), tt.call, gives(recorded(tt.name)))
			require.NoError(t, err, tt.name)
			assert.Equal(t, idempotency.Executed, result.Outcome, tt.name)
		}
		assert.Equal(t, len(tests), p.node.backend.size())
	})
}

func TestStrictKeysBindAKeyToItsOperation_F4(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend(), idempotency.StrictKeys())
		refund, err := p.guard.Operation("refund", idempotency.Policy{})
		require.NoError(t, err)
		pay := p.operation(t)
		_, err = pay.Execute(t.Context(), call("k"), gives(recorded("a")))
		require.NoError(t, err)

		_, err = refund.Execute(t.Context(), call("k"), forbidden(t))
		refusal(t, err, idempotency.ErrKeyReused)
		again, err := pay.Execute(t.Context(), call("k"), forbidden(t))
		require.NoError(t, err)
		assert.Equal(t, recorded("a"), again.Answer)
	})
}

func TestCallWithoutFingerprintIsBoundByItsKeyAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, newBackend())
		op := p.operation(t)
		bare := idempotency.Call{Scope: "tenant", Key: "k"}
		_, err := op.Execute(t.Context(), bare, gives(recorded("a")))
		require.NoError(t, err)
		_, rec := p.node.backend.only(t)
		assert.Equal(t, store.Fingerprint{Algorithm: store.NoFingerprint}, rec.Fingerprint)
		again, err := op.Execute(t.Context(), bare, forbidden(t))
		require.NoError(t, err)
		assert.Equal(t, idempotency.Replayed, again.Outcome)
	})
}

func TestCallWithoutScopeOrKeyNeverReachesTheStore(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		call idempotency.Call
		code idempotency.Code
	}{
		{"A4 no scope", idempotency.Call{Key: "k"}, idempotency.ErrScopeMissing},
		{"no key", idempotency.Call{Scope: "tenant"}, idempotency.ErrKeyMissing},
		{"neither", idempotency.Call{}, idempotency.ErrScopeMissing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, newBackend())
				_, err := p.operation(t).Execute(t.Context(), tt.call, forbidden(t))
				assert.Empty(t, refusal(t, err, tt.code).ID)
				assert.Zero(t, p.node.count(""))
			})
		})
	}
}

package idemadmin

import (
	"errors"
	"net/http"

	"github.com/reprise-go/reprise/store"
)

// Option configures the page.
type Option func(*options) error

type options struct {
	settling bool
	answers  bool
	operator func(*http.Request) string
	describe []DescribeFunc
}

// AllowSettling adds the forms that decide: release, complete with a supplied
// answer, purge. Without it the page is read-only and their routes answer 403.
func AllowSettling() Option {
	return func(o *options) error { o.settling = true; return nil }
}

// ShowAnswers shows the bodies of recorded answers, too. They hold what is meant
// for the clients who asked.
func ShowAnswers() Option {
	return func(o *options) error { o.answers = true; return nil }
}

// DescribeFunc reads a recorded answer of a transport other than HTTP, as names
// with values in the order in which they are shown. What was meant for the
// service's callers, such as messages, is left out unless content is true. An
// answer of yet another transport is [idempotency.ErrResultUnavailable], a damaged
// one any other error. It is called at once for different requests, must not
// change the answer, and needs no escaping.
type DescribeFunc func(recorded store.Answer, content bool) ([][2]string, error)

// Describe shows recorded answers of another transport than HTTP, too:
//
//	idemadmin.Describe(idemgrpc.AnswerLines)
//
// May be given once for each transport; they are asked in that order. Of answers
// that nobody describes only the length is shown.
func Describe(describe DescribeFunc) Option {
	return func(o *options) error {
		if describe == nil {
			return errors.New("Describe: the function is nil")
		}
		o.describe = append(o.describe, describe)
		return nil
	}
}

// Operator says who asks, as the authentication in front of the page has
// established it: a decision is logged under that name, and one of nobody ("")
// is refused. Of a longer name the first 200 bytes count. Without it the forms
// ask for a name, and believe it.
func Operator(name func(*http.Request) string) Option {
	return func(o *options) error {
		if name == nil {
			return errors.New("Operator: the function is nil")
		}
		o.operator = name
		return nil
	}
}

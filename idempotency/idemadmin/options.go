package idemadmin

import (
	"errors"
	"net/http"
)

// Option configures the page.
type Option func(*options) error

type options struct {
	settling bool
	answers  bool
	operator func(*http.Request) string
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

package store

import (
	"errors"
	"fmt"
	"time"
)

// Limits of what a record can hold.
const (
	MaxOperationName = 255
	MaxWord          = 8 // length of a codec's or algorithm's name
	maxDuration      = 10 * 365 * 24 * time.Hour
	maxAttempt       = 99_999_999 // eight digits
	// maxInstant is exact as a floating-point number, which is what scripts
	// compute with. In µs it is reached in the year 2255.
	maxInstant = 8_999_999_999_999_999
)

func (c Claim) validate() error {
	return errors.Join(
		checkOwner(c.Owner),
		checkOperation(c.Operation),
		checkWord("Fingerprint.Algorithm", c.Fingerprint.Algorithm),
		checkDuration("Lease", c.Lease),
		checkDuration("Retention", c.Retention),
		checkTakeOver(c.TakeOver),
	)
}

func (r Renew) validate() error {
	return errors.Join(
		checkOwner(r.Owner),
		checkDuration("Lease", r.Lease),
		checkDuration("Retention", r.Retention),
	)
}

func (m Mark) validate() error { return checkOwner(m.Owner) }

func (a Attempt) validate() error {
	return errors.Join(
		checkOwner(a.Owner),
		checkOperation(a.Operation),
		checkWord("Fingerprint.Algorithm", a.Fingerprint.Algorithm),
		checkDuration("Lease", a.Lease),
		checkDuration("Retention", a.Retention),
		checkNumber("Number", int64(a.Number), maxAttempt),
		checkNumber("Token", int64(a.Token), maxInstant),
		checkNumber("Started", int64(a.Started), maxInstant),
	)
}

func (a Adoption) validate() error {
	return errors.Join(
		checkNumber("Confirmed", int64(a.Confirmed), maxInstant),
		checkNumber("Within", int64(a.Within), int64(maxDuration)),
	)
}

func (c Complete) validate() error {
	return errors.Join(c.Attempt.validate(), c.Adoption.validate(), checkAnswer(c.Answer))
}

func (f Fail) validate() error {
	err := errors.Join(f.Attempt.validate(), f.Adoption.validate())
	if f.Backoff < 0 || f.Backoff > maxDuration {
		err = errors.Join(err, fmt.Errorf("Backoff %v is out of range", f.Backoff))
	}
	return err
}

func (r Release) validate() error { return r.Attempt.validate() }

func (s Settle) validate() error {
	err := errors.Join(checkOwner(s.Owner), checkDuration("Retention", s.Retention))
	if s.Answer != nil {
		err = errors.Join(err, checkAnswer(*s.Answer))
	}
	if s.Answer != nil && s.Erase {
		err = errors.Join(err, errors.New("Erase and Answer are both set"))
	}
	return err
}

func checkOwner(o Owner) error {
	if o == (Owner{}) {
		return errors.New("Owner is zero")
	}
	return nil
}

func checkOperation(name string) error {
	if name == "" || len(name) > MaxOperationName {
		return fmt.Errorf("Operation has %d bytes, not 1 to %d", len(name), MaxOperationName)
	}
	return nil
}

func checkAnswer(a Answer) error {
	err := checkWord("Answer.Codec", a.Codec)
	if a.Omitted > BodyStreamed {
		err = errors.Join(err, fmt.Errorf("Answer.Omitted is %d, not a known reason", a.Omitted))
	}
	return err
}

func checkWord(field, word string) error {
	if word == "" || len(word) > MaxWord {
		return fmt.Errorf("%s has %d bytes, not 1 to %d", field, len(word), MaxWord)
	}
	for _, c := range []byte(word) {
		if c <= ' ' || c > '~' {
			return fmt.Errorf("%s holds a byte that is not visible ASCII", field)
		}
	}
	return nil
}

func checkDuration(field string, d time.Duration) error {
	if d < time.Millisecond || d > maxDuration {
		return fmt.Errorf("%s is %v, not between 1ms and %v", field, d, maxDuration)
	}
	return nil
}

func checkNumber(field string, n, most int64) error {
	if n < 0 || n > most {
		return fmt.Errorf("%s is %d, not between 0 and %d", field, n, most)
	}
	return nil
}

func checkTakeOver(mode TakeOver) error {
	if mode > TakeOverAlways {
		return fmt.Errorf("TakeOver is %d, not a known mode", mode)
	}
	return nil
}

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// remembered is how long answers are kept. A key that is older might pay again.
const remembered = 30 * 24 * time.Hour

// keyFile remembers the key of a payment that is not over. It is there before the
// payment is asked for, and goes when the answer is known: whoever finds it, continues.
type keyFile struct{ path string }

// key returns the key of the payment that is not over, or that of a new one.
func (f keyFile) key() (key string, resumed bool, err error) {
	info, err := os.Stat(f.path)
	switch {
	case err == nil && time.Since(info.ModTime()) >= remembered:
		return "", false, fmt.Errorf("%s is of %s, and answers are kept for %v: look whether it was paid, and remove it",
			f.path, info.ModTime().Format(time.DateOnly), remembered)
	case err == nil:
		text, err := os.ReadFile(f.path)
		return strings.TrimSpace(string(text)), true, err
	case !errors.Is(err, fs.ErrNotExist):
		return "", false, err
	}
	key = rand.Text()
	return key, false, f.write(key)
}

// write puts the whole key in place at once, and on the disk: half a key, or one that
// a power cut takes back, would be another payment.
func (f keyFile) write(key string) (err error) {
	draft, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(draft.Name()) }() // a link to it stays
	_, err = fmt.Fprintln(draft, key)
	if err := errors.Join(err, draft.Sync(), draft.Close()); err != nil {
		return err
	}
	// Unlike a rename it fails if another run of the program was faster.
	if err := os.Link(draft.Name(), f.path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(f.path))
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// done forgets the key.
func (f keyFile) done() error { return os.Remove(f.path) }

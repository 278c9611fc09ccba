package idemhttp

import "net/http"

// fieldLines are header field lines that are set from memory which is there already.
type fieldLines struct {
	room [14]string // further ones go elsewhere
	used []string
}

// set is [http.Header.Set] for a name in canonical spelling.
func (l *fieldLines) set(h http.Header, name, value string) {
	if l.used == nil {
		l.used = l.room[:0]
	}
	l.used = append(l.used, value)
	n := len(l.used)
	h[name] = l.used[n-1 : n : n] // whoever appends to it gets a copy
}

// add is [http.Header.Add] for a name in canonical spelling.
func (l *fieldLines) add(h http.Header, name, value string) {
	if len(h[name]) == 0 {
		l.set(h, name, value)
		return
	}
	h[name] = append(h[name], value)
}

package idemadmin

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/store"
)

//go:embed page.html style.css
var files embed.FS

// page is the handler.
type page struct {
	guard     *idempotency.Guard
	opts      options
	templates *template.Template
	style     template.CSS
	policy    string // Content-Security-Policy
}

// New returns the page of a guard, to be mounted under any prefix with
// [http.StripPrefix], behind authentication: see the package comment. Safe for
// concurrent use. It sends nothing before the first request.
//
// Errors: an option that is wrong; [errors.ErrUnsupported] for a guard whose
// store is no [store.Inspector].
func New(guard *idempotency.Guard, opts ...Option) (http.Handler, error) {
	if guard == nil {
		return nil, errors.New("idemadmin: the guard is nil")
	}
	p := &page{guard: guard}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("idemadmin: a nil option")
		}
		if err := opt(&p.opts); err != nil {
			return nil, fmt.Errorf("idemadmin: %w", err)
		}
	}
	if err := canInspect(guard); err != nil {
		return nil, fmt.Errorf("idemadmin: %w", err)
	}
	if err := p.load(); err != nil {
		return nil, fmt.Errorf("idemadmin: %w", err)
	}
	return p.handler(), nil
}

// canInspect asks without asking: with a context that has ended nothing is sent.
func canInspect(guard *idempotency.Guard) error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := guard.Lookup(ended, store.ID{}); errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// load reads what is embedded. The style is part of the page and is named by its
// digest, so that nothing else that calls itself a style is applied.
func (p *page) load() error {
	style, err := files.ReadFile("style.css")
	if err != nil {
		return err
	}
	p.templates, err = template.New("page").Funcs(template.FuncMap{"visible": visible}).ParseFS(files, "page.html")
	if err != nil {
		return err
	}
	sum := sha256.Sum256(style)
	p.style = template.CSS(style) //nolint:gosec // our own file
	p.policy = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return nil
}

func (p *page) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.list)
	mux.HandleFunc("GET /records", p.list)
	mux.HandleFunc("GET /records/{id}", p.record)
	mux.HandleFunc("POST /find", p.find)
	mux.HandleFunc("POST /records/{id}/settle", p.settle)
	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.fail(w, r, refusal{http.StatusForbidden, "cross_origin", "The request comes from a page of another origin."})
	}))
	return p.protectReader(sameOrigin.Handler(withSlash(p.cleanOnly(mux))))
}

// protectReader sets what keeps a browser from doing more with the page than to
// show it, and bounds what it takes.
func (p *page) protectReader(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", p.policy)
		h.Set("X-Content-Type-Options", "nosniff")
		// With no-referrer, browsers call the origin of the page's own forms "null"
		// and, over plain HTTP, say nothing else that tells them from a stranger's.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		h.Set("Vary", "Accept")
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		next.ServeHTTP(w, r)
	})
}

// maxRequest bounds a posted form: a supplied answer and a few words.
const maxRequest = 2 << 20

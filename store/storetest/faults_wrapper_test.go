package storetest_test

import (
	"context"
	"slices"
	"time"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/storetest/broken"
)

// wrapper is a correct store with methods replaced.
type wrapper struct {
	*broken.Store
	apply  func(s *broken.Store, ctx context.Context, id store.ID, event store.Event) (store.Reply, error)
	renew  func(s *broken.Store, ctx context.Context, renewals []store.Renewal) []store.RenewResult
	lookup func(s *broken.Store, ctx context.Context, id store.ID) (store.Record, error)

	watch   func(s *broken.Store, id store.ID) store.Watch
	inspect func(s *broken.Store, ctx context.Context, id store.ID) (store.Sighting, error)
	list    func(s *broken.Store, ctx context.Context, cursor string, limit int) (store.Page, error)
}

func (w *wrapper) Apply(ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
	if w.apply == nil {
		return w.Store.Apply(ctx, id, event)
	}
	return w.apply(w.Store, ctx, id, event)
}

func (w *wrapper) Renew(ctx context.Context, renewals []store.Renewal) []store.RenewResult {
	if w.renew == nil {
		return w.Store.Renew(ctx, renewals)
	}
	return w.renew(w.Store, ctx, renewals)
}

func (w *wrapper) Lookup(ctx context.Context, id store.ID) (store.Record, error) {
	if w.lookup == nil {
		return w.Store.Lookup(ctx, id)
	}
	return w.lookup(w.Store, ctx, id)
}

func (w *wrapper) Watch(id store.ID) store.Watch {
	if w.watch == nil {
		return w.Store.Watch(id)
	}
	return w.watch(w.Store, id)
}

func (w *wrapper) Inspect(ctx context.Context, id store.ID) (store.Sighting, error) {
	if w.inspect == nil {
		return w.Store.Inspect(ctx, id)
	}
	return w.inspect(w.Store, ctx, id)
}

func (w *wrapper) List(ctx context.Context, cursor string, limit int) (store.Page, error) {
	if w.list == nil {
		return w.Store.List(ctx, cursor, limit)
	}
	return w.list(w.Store, ctx, cursor, limit)
}

func wrap(w wrapper) func() (store.Store, *broken.Store) {
	return func() (store.Store, *broken.Store) {
		inner := broken.New(store.Step)
		opened := w
		opened.Store = inner
		return &opened, inner
	}
}

// shared keeps all records in one place.
func shared() (store.Store, *broken.Store) {
	inner := broken.New(store.Step)
	one := store.ID{1}
	return &wrapper{
		Store: inner,
		apply: func(s *broken.Store, ctx context.Context, _ store.ID, event store.Event) (store.Reply, error) {
			return s.Apply(ctx, one, event)
		},
		lookup: func(s *broken.Store, ctx context.Context, _ store.ID) (store.Record, error) {
			return s.Lookup(ctx, one)
		},
	}, inner
}

func wrapperFaults() []fault {
	return append(raceFaults(), []fault{
		{"batch answers in another order", wrap(wrapper{
			renew: func(s *broken.Store, ctx context.Context, renewals []store.Renewal) []store.RenewResult {
				results := s.Renew(ctx, renewals)
				slices.Reverse(results)
				return results
			},
		}), []string{"renew batch/answers by index", "renew batch/one invalid"}},
		{"batch answers are cut at 100", wrap(wrapper{
			renew: func(s *broken.Store, ctx context.Context, renewals []store.Renewal) []store.RenewResult {
				return s.Renew(ctx, renewals[:min(100, len(renewals))])
			},
		}), []string{"renew batch/full"}},
		{"batch of none has an error", wrap(wrapper{
			renew: func(s *broken.Store, ctx context.Context, renewals []store.Renewal) []store.RenewResult {
				if len(renewals) == 0 {
					return []store.RenewResult{{Err: store.ErrUnavailable}}
				}
				return s.Renew(ctx, renewals)
			},
		}), []string{"renew batch/empty"}},
		{"one invalid renewal fails the batch", wrap(wrapper{renew: allOrNothing}),
			[]string{"renew batch/one invalid"}},
		{"lookup reads a lapse", wrap(wrapper{
			lookup: func(s *broken.Store, ctx context.Context, id store.ID) (store.Record, error) {
				rec, err := s.Lookup(ctx, id)
				if rec.State == store.Running && rec.Lapsed(store.Instant(time.Now().UnixMicro())) {
					rec.State = store.Unknown
				}
				return rec, err
			},
		}), []string{"ttl/lease is not the ttl"}},
		{"lookup of nothing is an error", wrap(wrapper{
			lookup: func(s *broken.Store, ctx context.Context, id store.ID) (store.Record, error) {
				rec, err := s.Lookup(ctx, id)
				if err == nil && rec.State == store.Absent {
					err = store.ErrUnreadable
				}
				return rec, err
			},
		}), []string{"lookup/absent"}},
		{"events are not validated", unvalidated, []string{"call/invalid events", "call/unknown events"}},
		{"the context is ignored", wrap(wrapper{
			apply: func(s *broken.Store, ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
				return s.Apply(context.WithoutCancel(ctx), id, event)
			},
		}), []string{"call/ended context"}},
		{"a context error is passed on bare", wrap(wrapper{
			lookup: func(s *broken.Store, ctx context.Context, id store.ID) (store.Record, error) {
				if err := ctx.Err(); err != nil {
					return store.Record{}, err
				}
				return s.Lookup(ctx, id)
			},
		}), []string{"call/ended context"}},
		{"answers are not copied", uncopied, []string{"answer/slices are the caller's"}},
	}...)
}

func allOrNothing(s *broken.Store, ctx context.Context, renewals []store.Renewal) []store.RenewResult {
	for _, r := range renewals {
		if err := store.Validate(r.Renew); err != nil {
			return slices.Repeat([]store.RenewResult{{Err: err}}, len(renewals))
		}
	}
	return s.Renew(ctx, renewals)
}

// unvalidated hands everything to the protocol.
func unvalidated() (store.Store, *broken.Store) {
	inner := broken.New(store.Step)
	return &wrapper{
		Store: inner,
		apply: func(s *broken.Store, ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
			reply, err := s.Apply(ctx, id, event)
			if err != nil && ctx.Err() == nil {
				return store.Reply{Verdict: store.Done, Now: 1}, nil
			}
			return reply, err
		},
	}, inner
}

// uncopied gives every reader of an answer the same slices.
func uncopied() (store.Store, *broken.Store) {
	inner := broken.New(store.Step)
	kept := make(map[store.Token]store.Answer)
	return &wrapper{
		Store: inner,
		apply: func(s *broken.Store, ctx context.Context, id store.ID, event store.Event) (store.Reply, error) {
			reply, err := s.Apply(ctx, id, event)
			if reply.Verdict != store.Recorded || len(reply.Answer.Body) != len("body") {
				return reply, err
			}
			if _, ok := kept[reply.Token]; !ok {
				kept[reply.Token] = reply.Answer
			}
			reply.Answer = kept[reply.Token]
			return reply, err
		},
	}, inner
}

// raceFaults decide on what they read some time before they write.
func raceFaults() []fault {
	return []fault{
		{"claim not atomic", late(func(event store.Event, reply store.Reply) bool {
			return reply.Verdict == store.Claimed
		}), []string{"race/one claim wins", "race/one take-over wins"}},
		{"end not atomic", late(func(event store.Event, reply store.Reply) bool {
			return reply.Verdict == store.Done && event.Name() == "settle"
		}), []string{"race/one end wins"}},
	}
}

func late(when func(store.Event, store.Reply) bool) func() (store.Store, *broken.Store) {
	return func() (store.Store, *broken.Store) {
		s := broken.NotAtomic(when)
		return s, s
	}
}

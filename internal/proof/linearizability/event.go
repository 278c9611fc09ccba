package linearizability

import "github.com/reprise-go/reprise/store"

// owner returns in whose name an event is sent.
func owner(event store.Event) store.Owner {
	switch ev := event.(type) {
	case store.Claim:
		return ev.Owner
	case store.Renew:
		return ev.Owner
	case store.Mark:
		return ev.Owner
	case store.Complete:
		return ev.Owner
	case store.Fail:
		return ev.Owner
	case store.Release:
		return ev.Owner
	case store.Settle:
		return ev.Owner
	}
	return store.Owner{}
}

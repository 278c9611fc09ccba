package storetest

import (
	"fmt"

	"github.com/reprise-go/reprise/store"
)

func manyWatchesRules() []rule {
	return []rule{
		{
			name:  "watches/each record its own",
			rule:  "with many records watched at once, the end of each is told to its own watch",
			why:   "a notification that goes to another record's watch is lost to those who need it",
			needs: notifies,
			check: watchesOfManyRecords,
		},
		{
			name:  "watches/all of one record",
			rule:  "all watches of one record are told, and go on being told when some of them are closed",
			why:   "watches share what they cost; the first to leave must not take it along",
			needs: notifies,
			check: watchesOfOneRecord,
		},
		{
			name:  "watches/closed",
			rule:  "a closed watch is not signalled any more; its channel stays open; it may be closed again, also by several at once",
			why:   "whoever has left takes no signal away from others, and a closed channel would be read as signals without end",
			needs: notifies,
			check: watchesClosed,
		},
		{
			name:  "watches/opened again",
			rule:  "a record whose last watch was closed can be watched again, with a first signal and all that follows",
			why:   "the end of one interest and the beginning of the next may cross on their way to the backend",
			needs: notifies,
			check: watchesAgain,
		},
		{
			name:  "watches/a crowd",
			rule:  "watches may be opened and closed by many goroutines at once, and each has its first signal",
			why:   "duplicates come in crowds",
			needs: notifies,
			check: watchesCrowd,
		},
	}
}

func watchesOfManyRecords(c *check) {
	type watched struct {
		id     store.ID
		owner  *caller
		waiter *listener
	}
	all := make([]watched, 0, 8)
	for i := range 8 {
		c.fresh(fmt.Sprintf("record %d", i))
		all = append(all, watched{c.id, running(c), c.waiter(fmt.Sprintf("waiter %d", i))})
	}
	for _, i := range []int{3, 0, 7, 5, 1, 6, 2, 4} {
		c.id, c.about = all[i].id, fmt.Sprintf("record %d", i)
		all[i].owner.completes(store.Done, "first")
		all[i].waiter.hears("the completion")
	}
}

func watchesOfOneRecord(c *check) {
	all := make([]*listener, 0, 8)
	owner := running(c)
	for i := range 8 {
		all = append(all, c.waiter(fmt.Sprintf("waiter %d", i)))
	}
	owner.releases(store.Done)
	for _, l := range all {
		l.hears("the release")
	}
	for i, l := range all {
		if i != 2 && i != 5 {
			l.close()
		}
	}
	owner = c.caller("next owner")
	owner.claims(store.Claimed)
	all[2].claims()
	all[5].drop()
	owner.completes(store.Done, "first")
	all[2].hears("the completion, after others have left")
	all[5].hears("the completion, after others have left")
}

func watchesClosed(c *check) {
	owner := running(c)
	stays, leaves := c.waiter("who stays"), c.waiter("who has left")
	leaves.close()
	leaves.drop() // one that was sent before
	owner.completes(store.Done, "first")
	stays.hears("the completion")
	leaves.hearsNothing()
	stays.close()
	stays.close()
}

func watchesAgain(c *check) {
	for i := range rounds {
		owner := c.stranger()
		owner.claims(store.Claimed)
		l := c.waiter(fmt.Sprintf("waiter %d", i))
		owner.releases(store.Done)
		l.hears("the release")
		l.close()
	}
}

func watchesCrowd(c *check) {
	owner := running(c)
	here := c.id
	leaving := make([]*listener, crowd)
	troubles := make([]string, crowd)
	for i := range leaving {
		if i%4 == 0 {
			c.id = newID()
		}
		leaving[i] = c.watch(fmt.Sprintf("passer-by %d", i))
	}
	c.id = here
	stays := c.waiter("who stays")
	notifier := c.h.Store.(store.Notifier) //nolint:errcheck // a capability of the case
	together(crowd, func(i int) {
		// One leaves while another comes.
		passer := &listener{c: c, watch: notifier.Watch(here)}
		troubles[i] = passer.next()
		passer.watch.Close()
		leaving[i].watch.Close()
	})
	for i, trouble := range troubles {
		if trouble != "" {
			c.errorf("watch %d of %d opened at once %s", i, crowd, trouble)
		}
	}
	stays.drop()
	owner.completes(store.Done, "first")
	stays.hears("the completion")
}

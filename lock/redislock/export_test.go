package redislock

import "github.com/reprise-go/reprise/lock"

// UnderWay returns how many round trips of claims and releases are counted as under
// way, and how many calls are queued.
func UnderWay(b *Backend) (flights, queued int) {
	b.sender.mu.Lock()
	defer b.sender.mu.Unlock()
	return b.sender.flights, b.sender.queue.Len()
}

// ParseReply reads what a script returns about one lock of this owner.
func ParseReply(text, owner string) (lock.Reply, error) {
	a, err := parse(text, owner)
	if err != nil {
		return lock.Reply{}, err
	}
	return a.reply()
}

package redislock

// UnderWay returns how many round trips of claims and releases are counted as under
// way, and how many calls are queued.
func UnderWay(b *Backend) (flights, queued int) {
	b.sender.mu.Lock()
	defer b.sender.mu.Unlock()
	return b.sender.flights, b.sender.queue.Len()
}

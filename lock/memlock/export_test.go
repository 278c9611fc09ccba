package memlock

// Size returns how many records a backend keeps.
func Size(b *Backend) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.records)
}

package lease

import (
	"time"
	"unsafe"
)

// SetWall replaces the wall clock. Call it before the first Watch.
func (w *Watchdog[T]) SetWall(wall func(time.Time) int64) { w.clock.wall = wall }

// Size is the memory of one lease of a 64-byte item, its places in the
// schedules included.
const Size = unsafe.Sizeof(Lease[[64]byte]{}) + 2*unsafe.Sizeof(uintptr(0))

package lock

// OwnerOf returns the owner of a lease.
func OwnerOf(le *Lease) Owner { return le.owner }

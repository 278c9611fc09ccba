package bubble

import "strconv"

// record is what the judge reads of a record as it lies in Redis. The zero record
// is the absent one.
type record struct {
	raw      string
	state    byte // R running, C completed, U unknown, L released
	void     bool
	token    int64
	leaseEnd int64 // in µs
	owner    string
}

// recordStart is the length of a record up to its owner.
const recordStart = 161

// parseRecord reads a record's head by the offsets that package redisstore gives
// its fields.
func parseRecord(raw string) record {
	if len(raw) < recordStart {
		return record{raw: raw}
	}
	token, _ := strconv.ParseInt(raw[9:25], 10, 64)
	leaseEnd, _ := strconv.ParseInt(raw[33:49], 10, 64)
	return record{
		raw:      raw,
		state:    raw[4],
		void:     raw[7] == '1',
		token:    token,
		leaseEnd: leaseEnd,
		owner:    raw[129:161],
	}
}

// onlyWaits reports that nothing but the note that somebody waits was added.
func (r *record) onlyWaits(after record) bool {
	return len(r.raw) == len(after.raw) && len(r.raw) > recordStart &&
		r.raw[:6] == after.raw[:6] && r.raw[7:] == after.raw[7:]
}

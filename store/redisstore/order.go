package redisstore

import (
	"encoding/hex"
	"time"

	"github.com/reprise-go/reprise/store"
)

// What an event says travels to its script as one string of fields of fixed
// width, because each argument costs the server and the client about as much as
// the fields that it holds. Where they lie is in the scripts.

const (
	claimOrderSize = ownerWidth + 2*numberWidth + 2
	endOrderSize   = ownerWidth + attemptWidth + 5*numberWidth
	renewOrderSize = ownerWidth + 2*numberWidth
)

// claimOrder is what claim takes.
func claimOrder(id store.ID, ev store.Claim) []byte {
	fresh := store.Record{Fingerprint: ev.Fingerprint, Scope: ev.Scope, Operation: ev.Operation}
	b := make([]byte, 0, claimOrderSize+restSize(&fresh))
	b = hex.AppendEncode(b, ev.Owner[:])
	b = appendNumber(b, micros(ev.Lease), numberWidth)
	b = appendNumber(b, millis(store.RunningTTL(ev.Lease, ev.Retention)), numberWidth)
	b = append(b, takeOverLetter(ev.TakeOver), digitOf(ev.Wait))
	return appendRest(b, id, &fresh)
}

func takeOverLetter(mode store.TakeOver) byte {
	switch mode {
	case store.TakeOverUnmarked:
		return 'U'
	case store.TakeOverAlways:
		return 'A'
	default:
		return 'N'
	}
}

// endOrder is what complete_large takes, and complete and fail before the rest of
// the record.
func endOrder(a store.Attempt, adoption store.Adoption, ttl time.Duration, room int) []byte {
	b := make([]byte, 0, endOrderSize+room)
	b = hex.AppendEncode(b, a.Owner[:])
	b = appendNumber(b, int64(a.Token), numberWidth)
	b = appendNumber(b, int64(adoption.Confirmed.Add(adoption.Within)), numberWidth)
	b = appendNumber(b, millis(ttl), numberWidth)
	b = appendNumber(b, int64(a.Number), attemptWidth)
	b = appendNumber(b, micros(a.Lease), numberWidth)
	return appendNumber(b, int64(a.Started), numberWidth)
}

// endOrderOf is endOrder and the rest of a record.
func endOrderOf(id store.ID, rec *store.Record, a store.Attempt, adoption store.Adoption, ttl time.Duration) []byte {
	return appendRest(endOrder(a, adoption, ttl, restSize(rec)), id, rec)
}

// appendRenewOrder appends what renew takes for one record.
func appendRenewOrder(b []byte, r store.Renewal) []byte {
	b = hex.AppendEncode(b, r.Owner[:])
	b = appendNumber(b, micros(r.Lease), numberWidth)
	return appendNumber(b, millis(store.RunningTTL(r.Lease, r.Retention)), numberWidth)
}

// Package ct holds constant-time helpers that crypto/subtle lacks.
//
// A mask here is an int of 0 or 1, as in crypto/subtle.
package ct

import "crypto/subtle"

// Equal returns 1 if a and b have the same length and content. Only the length
// shows in the time taken.
func Equal(a, b []byte) int { return subtle.ConstantTimeCompare(a, b) }

// Less returns 1 if x < y; both must lie in 0 .. 2^31-1.
func Less(x, y int) int { return subtle.ConstantTimeLessOrEq(x+1, y) }

// PKCS7Len returns the length of the data in the padded block b, whose size is
// a power of two of at most 128, and ok = 1, or an unspecified length and ok =
// 0 if the padding is wrong. The time taken depends on len(b) only.
//
// The padding is 1 to len(b) bytes, each of which holds their number (RFC 5652,
// section 6.3).
func PKCS7Len(b []byte) (n, ok int) {
	size := len(b)
	if size == 0 {
		return 0, 0
	}
	pad := int(b[size-1])
	ok = Less(0, pad) & subtle.ConstantTimeLessOrEq(pad, size)
	for i, x := range b {
		inPad := subtle.ConstantTimeLessOrEq(size-pad, i)
		ok &= subtle.ConstantTimeSelect(inPad, subtle.ConstantTimeByteEq(x, byte(pad)), 1)
	}
	return subtle.ConstantTimeSelect(ok, size-pad, 0), ok
}

// IPsecLen is PKCS7Len for padding bytes that count from 1 up to their number.
func IPsecLen(b []byte) (n, ok int) {
	size := len(b)
	if size == 0 {
		return 0, 0
	}
	pad := int(b[size-1])
	ok = Less(0, pad) & subtle.ConstantTimeLessOrEq(pad, size)
	for i, x := range b {
		want := i - (size - pad) + 1 // below 1 where there is data
		ok &= subtle.ConstantTimeSelect(subtle.ConstantTimeLessOrEq(size-pad, i), subtle.ConstantTimeByteEq(x, byte(want)), 1)
	}
	return subtle.ConstantTimeSelect(ok, size-pad, 0), ok
}

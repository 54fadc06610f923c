package engine

import (
	"crypto/subtle"
	"encoding/hex"
	"strings"
)

// Known answers for modes that nobody published one for, with a given cipher.
// They follow from a published answer for the bare block: each mode encrypts
// just that block.

// knownPad is CBC with padding of a message shorter than a block, with an IV
// that turns the padded message into the block.
func knownPad(ecb known, message string) known {
	block, padded := unhex(ecb.in), unhex(message)
	n := len(padded)
	padded = append(padded, make([]byte, len(block)-n)...)
	pkcs7.fill(padded, n)
	subtle.XORBytes(padded, padded, block)
	return known{ecb.key, padded, message, ecb.out}
}

// knownCBC is CBC of one block with an IV of zeros.
func knownCBC(ecb known) known {
	return known{ecb.key, make([]byte, len(ecb.in)/2), ecb.in, ecb.out}
}

// knownCBCMAC is a CBC-MAC of n bytes, from an answer for CBC: the MAC of the
// message with the IV added to its first block.
func knownCBCMAC(cbc known, p any, n int) known {
	message, iv := unhex(cbc.in), cbc.p.([]byte)
	subtle.XORBytes(message, message[:len(iv)], iv)
	last := cbc.out[len(cbc.out)-2*len(iv):]
	return known{cbc.key, p, hex.EncodeToString(message), last[:2*n]}
}

// knownCTR is counter mode of one block of zeros.
func knownCTR(ecb known) known {
	p := &CTRParams{CounterBits: 128, CB: [16]byte(unhex(ecb.in))}
	return known{ecb.key, p, strings.Repeat("0", len(ecb.in)), ecb.out}
}

// knownFeedback is OFB or CFB of the first n bytes of a block of zeros.
func knownFeedback(ecb known, n int) known {
	return known{ecb.key, unhex(ecb.in), strings.Repeat("0", 2*n), ecb.out[:2*n]}
}

// knownECBData is the derivation by encryption with ECB.
func knownECBData(ecb known) known {
	return known{ecb.key, &StringDataParams{unhex(ecb.in)}, "", ecb.out}
}

// knownCBCData is the derivation by encryption with CBC, for blocks of 16 bytes.
func knownCBCData(cbc known) known {
	iv, _ := cbc.p.([]byte)
	return known{cbc.key, &AESCBCEncryptDataParams{[16]byte(iv), unhex(cbc.in)}, "", cbc.out}
}

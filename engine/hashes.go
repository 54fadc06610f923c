package engine

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"hash"

	"github.com/emmansun/gmsm/sm3"
	"golang.org/x/crypto/blake2b"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/has160"
	"github.com/perilune/perilune/engine/internal/md2"
	"github.com/perilune/perilune/engine/internal/ripemd"
)

// hashFunction is one digest.
type hashFunction struct {
	hashRow
	ended recycler[hasher]
}

// hashRow is what is particular to a digest, with what the mechanisms built on it
// are called.
type hashRow struct {
	digest ck.MechanismType
	new    func() hash.Hash
	size   int // of the digest, in bytes
	// info is the DER DigestInfo of PKCS #1 (RFC 8017, section 9.2) up to the
	// digest itself; empty where RSA does not use it.
	info string
}

// hashes lists the functions of SHA-1, SHA-2 and SHA-3, those that are old, and
// those of others. What is built on a hash by a number of its own names its
// hashes; what takes any hash should use [shaFor].
var hashes = hashFunctions(
	hashRow{ck.CKM_MD2, md2.New, 16,
		"\x30\x20\x30\x0c\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x02\x05\x00\x04\x10"},
	hashRow{ck.CKM_MD5, md5.New, 16,
		"\x30\x20\x30\x0c\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x05\x05\x00\x04\x10"},
	hashRow{ck.CKM_SHA_1, sha1.New, 20,
		"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14"},
	hashRow{ck.CKM_SHA224, sha256.New224, 28, nistDigestInfo(4, 28)},
	hashRow{ck.CKM_SHA256, sha256.New, 32, nistDigestInfo(1, 32)},
	hashRow{ck.CKM_SHA384, sha512.New384, 48, nistDigestInfo(2, 48)},
	hashRow{ck.CKM_SHA512, sha512.New, 64, nistDigestInfo(3, 64)},
	hashRow{ck.CKM_SHA512_224, sha512.New512_224, 28, nistDigestInfo(5, 28)},
	hashRow{ck.CKM_SHA512_256, sha512.New512_256, 32, nistDigestInfo(6, 32)},
	hashRow{ck.CKM_SHA3_224, func() hash.Hash { return sha3.New224() }, 28, nistDigestInfo(7, 28)},
	hashRow{ck.CKM_SHA3_256, func() hash.Hash { return sha3.New256() }, 32, nistDigestInfo(8, 32)},
	hashRow{ck.CKM_SHA3_384, func() hash.Hash { return sha3.New384() }, 48, nistDigestInfo(9, 48)},
	hashRow{ck.CKM_SHA3_512, func() hash.Hash { return sha3.New512() }, 64, nistDigestInfo(10, 64)},
	hashRow{ck.CKM_RIPEMD128, ripemd.New128, 16,
		"\x30\x1d\x30\x09\x06\x05\x2b\x24\x03\x02\x02\x05\x00\x04\x10"},
	hashRow{ck.CKM_RIPEMD160, ripemd.New160, 20,
		"\x30\x21\x30\x09\x06\x05\x2b\x24\x03\x02\x01\x05\x00\x04\x14"},
	hashRow{ck.CKM_HAS160, has160.New, 20, ""},
	hashRow{ck.CKM_SM3, sm3.New, 32, ""},
	hashRow{ck.CKM_BLAKE2B_160, newBLAKE2b(20), 20, ""},
	hashRow{ck.CKM_BLAKE2B_256, newBLAKE2b(32), 32, ""},
	hashRow{ck.CKM_BLAKE2B_384, newBLAKE2b(48), 48, ""},
	hashRow{ck.CKM_BLAKE2B_512, newBLAKE2b(64), 64, ""},
)

func hashFunctions(rows ...hashRow) []hashFunction {
	list := make([]hashFunction, len(rows))
	for i, r := range rows {
		list[i].hashRow = r
	}
	return list
}

// newBLAKE2b makes the constructor of BLAKE2b with a digest of size bytes.
func newBLAKE2b(size int) func() hash.Hash {
	return func() hash.Hash {
		h, err := blake2b.New(size, nil)
		if err != nil {
			panic(err) // of the size only
		}
		return h
	}
}

// nistDigestInfo is the DigestInfo prefix of the hash algorithm
// 2.16.840.1.101.3.4.2.arc with a digest of size bytes.
func nistDigestInfo(arc, size byte) string {
	return "\x30" + string(rune(size+17)) + "\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02" +
		string(rune(arc)) + "\x05\x00\x04" + string(rune(size))
}

// mgfHashes names the hash function of each mask generation function MGF1.
var mgfHashes = map[ck.MGF]ck.MechanismType{
	ck.CKG_MGF1_SHA1:     ck.CKM_SHA_1,
	ck.CKG_MGF1_SHA224:   ck.CKM_SHA224,
	ck.CKG_MGF1_SHA256:   ck.CKM_SHA256,
	ck.CKG_MGF1_SHA384:   ck.CKM_SHA384,
	ck.CKG_MGF1_SHA512:   ck.CKM_SHA512,
	ck.CKG_MGF1_SHA3_224: ck.CKM_SHA3_224,
	ck.CKG_MGF1_SHA3_256: ck.CKM_SHA3_256,
	ck.CKG_MGF1_SHA3_384: ck.CKM_SHA3_384,
	ck.CKG_MGF1_SHA3_512: ck.CKM_SHA3_512,
}

// findHash returns the entry of a digest mechanism, or nil.
func findHash(t ck.MechanismType) *hashFunction {
	for i := range hashes {
		if hashes[i].digest == t {
			return &hashes[i]
		}
	}
	return nil
}

// shaFor returns the entry of a digest mechanism if that is of the SHA-1, SHA-2
// or SHA-3 families, or nil.
func shaFor(t ck.MechanismType) *hashFunction {
	switch h := findHash(t); t {
	case ck.CKM_SHA_1, ck.CKM_SHA224, ck.CKM_SHA256, ck.CKM_SHA384, ck.CKM_SHA512, ck.CKM_SHA512_224, ck.CKM_SHA512_256,
		ck.CKM_SHA3_224, ck.CKM_SHA3_256, ck.CKM_SHA3_384, ck.CKM_SHA3_512:
		return h
	}
	return nil
}

// mgfHash returns the hash function of an MGF1, or nil.
func mgfHash(g ck.MGF) *hashFunction {
	return findHash(mgfHashes[g]) // no digest mechanism has the number 0
}

// hasher is a hash under way, with memory for what goes in and comes out.
type hasher struct {
	hash.Hash
	home    *recycler[hasher] // nil if it is not used again
	out     [64]byte          // the longest digest
	counter [4]byte
}

// start returns a fresh computation of the hash.
func (h *hashFunction) start() *hasher {
	x := h.ended.get()
	if x.home == nil {
		x.Hash, x.home = h.new(), &h.ended
	}
	return x
}

// release ends the use of x, which forgets what it was given.
func (x *hasher) release() {
	if x.home != nil {
		wipeHash(x)
		clear(x.out[:])
		x.home.put(x)
	}
}

// sum is the digest, in x.
func (x *hasher) sum() []byte { return x.Sum(x.out[:0]) }

// nothing is as long as the longest block of a hash.
var nothing [144]byte

// wipeHash resets x. That alone would leave the block under way in its memory; two
// halves go through it.
func wipeHash(x hash.Hash) {
	n := x.BlockSize()
	x.Reset()
	x.Write(nothing[:n/2])
	x.Write(nothing[n/2 : n])
	x.Reset()
}

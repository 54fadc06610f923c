package engine

import (
	"bytes"
	"math"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// TestCCMVectors: the examples of NIST SP 800-38C, appendix C, the fourth with
// 64 KiB of associated data, and packet vectors 1 and 24 of RFC 3610, section 8.
func TestCCMVectors(t *testing.T) {
	long := make([]byte, 1<<16)
	for i := range long {
		long[i] = byte(i)
	}
	nist := aesKey("404142434445464748494a4b4c4d4e4f")
	for _, v := range []struct {
		k             *Key
		nonce         string
		aad           []byte
		macLen        uint64
		plain, sealed string
	}{
		{nist, "10111213141516", unhex("0001020304050607"), 4, "20212223", "7162015b4dac255d"},
		{nist, "1011121314151617", unhex("000102030405060708090a0b0c0d0e0f"), 6,
			"202122232425262728292a2b2c2d2e2f", "d2a1f0e051ea5f62081a7792073d593d1fc64fbfaccd"},
		{nist, "101112131415161718191a1b", unhex("000102030405060708090a0b0c0d0e0f10111213"), 8,
			"202122232425262728292a2b2c2d2e2f3031323334353637",
			"e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5484392fbc1b09951"},
		{nist, "101112131415161718191a1b1c", long, 14,
			"202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
			"69915dad1e84c6376a68c2967e4dab615ae0fd1faec44cc484828529463ccf72b4ac6bec93e8598e7f0dadbcea5b"},
		{aesKey("c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"), "00000003020100a0a1a2a3a4a5", unhex("0001020304050607"), 8,
			"08090a0b0c0d0e0f101112131415161718191a1b1c1d1e",
			"588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0"},
		{aesKey("d7828d13b2b0bdc325a76236df93cc6b"), "008d493b30ae8b3c9696766cfa", unhex("6e37a6ef546d955d34ab6059"), 10,
			"abf21c0b02feb88f856df4a37381bce3cc128517d4",
			"f32905b88a641b04b9c9ffb58cc390900f3da12ab16dce9e82efa16da62059"},
	} {
		p := &CCMParams{uint64(len(v.plain) / 2), unhex(v.nonce), v.aad, v.macLen}
		checkCipher(t, ck.CKM_AES_CCM, v.k, p, unhex(v.plain), unhex(v.sealed))

		p.DataLen = 12345 // which wrapping does not look at
		op, err := Find(ck.CKM_AES_CCM).Wrap(v.k, p)
		got, err := runOp(op, err, unhex(v.plain))
		if err != nil || !bytes.Equal(got, unhex(v.sealed)) {
			t.Errorf("wrapped: %x, %v", got, err)
		}
		op, err = Find(ck.CKM_AES_CCM).Unwrap(v.k, p)
		got, err = runOp(op, err, unhex(v.sealed))
		if err != nil || !bytes.Equal(got, unhex(v.plain)) {
			t.Errorf("unwrapped: %x, %v", got, err)
		}
	}
}

func TestCCMErrors(t *testing.T) {
	k := aesKey(sp80038aKey)
	row := Find(ck.CKM_AES_CCM)
	for _, p := range []any{
		nil, (*CCMParams)(nil), pattern(12),
		&CCMParams{0, pattern(6), nil, 16},
		&CCMParams{0, pattern(14), nil, 16},
		&CCMParams{0, pattern(12), nil, 0},
		&CCMParams{0, pattern(12), nil, 2},
		&CCMParams{0, pattern(12), nil, 5},
		&CCMParams{0, pattern(12), nil, 18},
		&CCMParams{0, pattern(12), nil, math.MaxUint64 - 1},
		&CCMParams{1 << 16, pattern(13), nil, 16},
		&CCMParams{1 << 56, pattern(8), nil, 16},
	} {
		wantError(t, beginError(row.Encrypt(k, p)), ck.CKR_MECHANISM_PARAM_INVALID)
		wantError(t, beginError(row.Decrypt(k, p)), ck.CKR_MECHANISM_PARAM_INVALID)
	}
	// The declared length must be the real one, in one part or in several.
	p := &CCMParams{20, pattern(12), nil, 8}
	for _, n := range []int{0, 19, 21, 40} {
		for _, size := range []int{7, 1 << 20} {
			op, err := row.Encrypt(k, p)
			_, err = runParts(op, err, pattern(n), size, false)
			wantError(t, err, ck.CKR_DATA_LEN_RANGE)
			op, err = row.Decrypt(k, p)
			_, err = runParts(op, err, pattern(n+8), size, false)
			wantError(t, err, ck.CKR_ENCRYPTED_DATA_LEN_RANGE)
		}
	}
	op, err := row.Decrypt(k, p)
	wantError(t, finishError(op, err, pattern(3)), ck.CKR_ENCRYPTED_DATA_LEN_RANGE)
	// A length that no memory holds costs nothing until the data comes.
	op, err = row.Encrypt(k, &CCMParams{math.MaxUint64, pattern(7), nil, 8})
	wantError(t, finishError(op, err, pattern(3)), ck.CKR_DATA_LEN_RANGE)

	op, err = row.Encrypt(k, p)
	sealed, err := runOp(op, err, pattern(20))
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		op, err := row.Decrypt(k, p)
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]byte, 20)
		_, err = op.Finish(dst, bad)
		wantError(t, err, ck.CKR_ENCRYPTED_DATA_INVALID)
		if !bytes.Equal(dst, make([]byte, 20)) {
			t.Error("plaintext is left behind")
		}
	}
}

// TestCCMAADLen: the three encodings of RFC 3610, section 2.2.
func TestCCMAADLen(t *testing.T) {
	for n, want := range map[uint64]string{
		1: "0001", 0xfeff: "feff", 0xff00: "fffe0000ff00", 0xffffffff: "fffeffffffff", 1 << 32: "ffff0000000100000000",
	} {
		if got := ccmAADLen(nil, n); !bytes.Equal(got, unhex(want)) {
			t.Errorf("%d: %x, want %s", n, got, want)
		}
	}
}

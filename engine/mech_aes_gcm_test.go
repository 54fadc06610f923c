package engine

import (
	"bytes"
	"math"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

const (
	gcmPlain = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" +
		"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
	gcmAAD = "feedfacedeadbeeffeedfacedeadbeefabaddad2"
	gcmKey128,
	gcmKey192,
	gcmKey256 = "feffe9928665731c6d6a8f9467308308",
		"feffe9928665731c6d6a8f9467308308feffe9928665731c",
		"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
	gcmIV60 = "9313225df88406e555909c5aff5269aa6a7a9538534f7da1e4c303d2a318a728" +
		"c3c0c95156809539fcf0e2429a6b525416aedbf5a0de6a57a637b39b"
)

// gcmVectors are from the proposal of GCM (McGrew and Viega, "The Galois/Counter
// Mode of Operation", appendix B), by the numbers of the test cases there.
var gcmVectors = []struct {
	number                            int
	key, iv, aad, plain, cipher, code string
}{
	{1, "00000000000000000000000000000000", "000000000000000000000000", "", "", "",
		"58e2fccefa7e3061367f1d57a4e7455a"},
	{2, "00000000000000000000000000000000", "000000000000000000000000", "",
		"00000000000000000000000000000000", "0388dace60b6a392f328c2b971b2fe78",
		"ab6e47d42cec13bdf53a67b21257bddf"},
	{3, gcmKey128, "cafebabefacedbaddecaf888", "", gcmPlain,
		"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e" +
			"21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
		"4d5c2af327cd64a62cf35abd2ba6fab4"},
	{4, gcmKey128, "cafebabefacedbaddecaf888", gcmAAD, gcmPlain[:120],
		"42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e" +
			"21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
		"5bc94fbc3221a5db94fae95ae7121a47"},
	{5, gcmKey128, "cafebabefacedbad", gcmAAD, gcmPlain[:120],
		"61353b4c2806934a777ff51fa22a4755699b2a714fcdc6f83766e5f97b6c7423" +
			"73806900e49f24b22b097544d4896b424989b5e1ebac0f07c23f4598",
		"3612d2e79e3b0785561be14aaca2fccb"},
	{6, gcmKey128, gcmIV60, gcmAAD, gcmPlain[:120],
		"8ce24998625615b603a033aca13fb894be9112a5c3a211a8ba262a3cca7e2ca7" +
			"01e4a9a4fba43c90ccdcb281d48c7c6fd62875d2aca417034c34aee5",
		"619cc5aefffe0bfa462af43c1699d050"},
	{10, gcmKey192, "cafebabefacedbaddecaf888", gcmAAD, gcmPlain[:120],
		"3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c" +
			"7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710",
		"2519498e80f1478f37ba55bd6d27618c"},
	{13, "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "", "",
		"530f8afbc74536b9a963b4f1c4cb738b"},
	{16, gcmKey256, "cafebabefacedbaddecaf888", gcmAAD, gcmPlain[:120],
		"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" +
			"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
		"76fc6ece0f4e1768cddf8853bb2d551b"},
}

// TestGCMVectors checks the vectors with every length of tag: a shorter one is
// the beginning of the full one (NIST SP 800-38D, section 7.1).
func TestGCMVectors(t *testing.T) {
	for _, v := range gcmVectors {
		for _, bits := range []uint64{32, 64, 96, 104, 112, 120, 128} {
			p := &GCMParams{IV: unhex(v.iv), IVBits: bits, AAD: unhex(v.aad), TagBits: bits}
			sealed := append(unhex(v.cipher), unhex(v.code)[:bits/8]...)
			checkCipher(t, ck.CKM_AES_GCM, aesKey(v.key), p, unhex(v.plain), sealed)
		}
	}
}

// TestGCMLong compares the operation in parts with the one in one part, which
// the standard library does, over messages long enough for every path.
func TestGCMLong(t *testing.T) {
	k := aesKey(gcmKey256)
	for _, ivLen := range []int{1, 12, 16, 1000, 5000} {
		for _, n := range []int{0, 1, 1023, 1024, 1025, 5000} {
			p := &GCMParams{IV: pattern(ivLen), AAD: pattern(n / 2), TagBits: 128}
			op, err := aesFamily.newGCMEncrypt(k, p)
			sealed, err := runOp(op, err, pattern(n))
			if err != nil {
				t.Fatal(err)
			}
			checkCipher(t, ck.CKM_AES_GCM, k, p, pattern(n), sealed)
		}
	}
}

// TestGCMForged changes each part of a message and looks for the error, and
// that no plaintext is left behind.
func TestGCMForged(t *testing.T) {
	for _, bits := range []uint64{32, 64, 96, 128} {
		k := aesKey(gcmKey128)
		good := GCMParams{IV: pattern(12), AAD: pattern(20), TagBits: bits}
		op, err := aesFamily.newGCMEncrypt(k, &good)
		sealed, err := runOp(op, err, pattern(40))
		if err != nil {
			t.Fatal(err)
		}
		refused := func(p *GCMParams, sealed []byte) {
			t.Helper()
			for _, parts := range []bool{false, true} {
				op, err := aesFamily.newGCMDecrypt(k, p)
				if err != nil {
					t.Fatal(err)
				}
				in := sealed
				if parts {
					if n, err := op.Update(nil, in[:10]); n != 0 || err != nil {
						t.Errorf("released %d bytes, %v", n, err)
					}
					in = in[10:]
				}
				n, _ := op.FinishLen(len(in))
				dst := make([]byte, n)
				_, err = op.Finish(dst, in)
				wantError(t, err, ck.CKR_ENCRYPTED_DATA_INVALID)
				if !bytes.Equal(dst, make([]byte, len(dst))) {
					t.Error("plaintext is left behind")
				}
			}
		}
		for i := range sealed {
			bad := bytes.Clone(sealed)
			bad[i] ^= 0x80
			refused(&good, bad)
		}
		other := good
		other.IV = pattern(13)
		refused(&other, sealed)
		other = good
		other.AAD = pattern(19)
		refused(&other, sealed)
		op, err = aesFamily.newGCMDecrypt(k, &good)
		wantError(t, finishError(op, err, sealed[:bits/8-1]), ck.CKR_ENCRYPTED_DATA_LEN_RANGE)
		op, err = Find(ck.CKM_AES_GCM).Unwrap(k, &good)
		wantError(t, finishError(op, err, sealed[1:]), ck.CKR_WRAPPED_KEY_INVALID)
	}
}

func TestGCMParamErrors(t *testing.T) {
	k := aesKey(gcmKey128)
	for _, p := range []any{
		nil, (*GCMParams)(nil), pattern(12),
		&GCMParams{IV: []byte{}, TagBits: 128},
		&GCMParams{IV: pattern(12)},
		&GCMParams{IV: pattern(12), TagBits: 8},
		&GCMParams{IV: pattern(12), TagBits: 16},
		&GCMParams{IV: pattern(12), TagBits: 127},
		&GCMParams{IV: pattern(12), TagBits: 136},
		&GCMParams{IV: pattern(12), TagBits: 1 << 63},
		&GCMParams{IV: pattern(12), TagBits: math.MaxUint64},
	} {
		wantError(t, beginError(aesFamily.newGCMEncrypt(k, p)), ck.CKR_MECHANISM_PARAM_INVALID)
		wantError(t, beginError(aesFamily.newGCMDecrypt(k, p)), ck.CKR_MECHANISM_PARAM_INVALID)
	}
	// The limit of the message, without a message that long.
	s := newGCMStream(must(aesFamily.gcmKey(k)), pattern(12), nil)
	s.n = gcmMaxLen
	wantError(t, s.encrypt(nil, []byte{1}), ck.CKR_DATA_LEN_RANGE)
	if err := s.encrypt(nil, nil); err != nil {
		t.Error(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// ivOnly is the parameter of CKM_AES_GMAC that was passed as the IV alone.
func ivOnly(iv []byte) *GMACParams {
	p := new(GMACParams)
	p.FromBytes(iv)
	return p
}

// TestGMAC: case 8 of Wycheproof's aes_gmac_test.json, and the GCM vector
// without any data.
func TestGMAC(t *testing.T) {
	k := aesKey("1d4a92394c7356a6f528cfb3adb8f253")
	iv, message := unhex("02194ece3bc50c51c52bdd83"), unhex("19b69d4178d49c20b4ee5846cb440c99")
	code := unhex("3790b32d5cda9f8ef72b643d701077d3")
	for _, bits := range []uint64{32, 64, 96, 128} {
		checkMAC(t, ck.CKM_AES_GMAC, k, &GMACParams{GCMParams{IV: iv, TagBits: bits}}, message, code[:bits/8])
	}
	checkMAC(t, ck.CKM_AES_GMAC, k, ivOnly(iv), message, code)
	checkMAC(t, ck.CKM_AES_GMAC, aesKey(gcmVectors[0].key), ivOnly(unhex(gcmVectors[0].iv)), nil, unhex(gcmVectors[0].code))

	// Long data, against GCM with all of it as associated data.
	for _, ivLen := range []int{1, 12, 77} {
		p := &GCMParams{IV: pattern(ivLen), AAD: pattern(4000), TagBits: 128}
		op, err := aesFamily.newGCMEncrypt(k, p)
		tag, err := runOp(op, err, nil)
		if err != nil {
			t.Fatal(err)
		}
		checkMAC(t, ck.CKM_AES_GMAC, k, &GMACParams{GCMParams{IV: p.IV, TagBits: 128}}, p.AAD, tag)
		wantError(t, beginError(Find(ck.CKM_AES_GMAC).Sign(k, p)), ck.CKR_MECHANISM_PARAM_INVALID)
	}
	for _, p := range []any{nil, []byte(nil), &GCMParams{IV: iv}, uint64(3)} {
		wantError(t, beginError(Find(ck.CKM_AES_GMAC).Sign(k, p)), ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

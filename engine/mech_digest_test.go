package engine

import (
	"bytes"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// digestVectors: "abc" is in the rows' self-tests; these are the empty message
// and the one of two blocks in NIST's example values for FIPS 180-4 (SHA-512's
// two-block message is longer) and FIPS 202, and vectors of RFC 1319, RFC 1321,
// the authors of RIPEMD, GB/T 32905-2016 A.2 and RFC 7693.
var digestVectors = []struct {
	m           ck.MechanismType
	message     string
	repetitions int
	want        string
}{
	{ck.CKM_MD2, "", 1, "8350e5a3e24c153df2275c9f80692773"},
	{ck.CKM_MD2, "1234567890", 8, "d5976f79d83d3a0dc9806c3c66f3efd8"},
	{ck.CKM_MD5, "", 1, "d41d8cd98f00b204e9800998ecf8427e"},
	{ck.CKM_MD5, "1234567890", 8, "57edf4a22be3c955ac49da2e2107b67a"},
	{ck.CKM_RIPEMD128, "", 1, "cdf26213a150dc3ecb610f18f6b38b46"},
	{ck.CKM_RIPEMD128, "1234567890", 8, "3f45ef194732c2dbb2c4a2c769795fa3"},
	{ck.CKM_RIPEMD160, "", 1, "9c1185a5c5e9fc54612808977ee8f548b2258d31"},
	{ck.CKM_RIPEMD160, twoBlocks, 1, "12a053384a9c0c88e405a06c27dcf49ada62eb2b"},
	{ck.CKM_HAS160, "1234567890", 8, "07f05c8c0773c55ca3a5a695ce6aca4c438911b5"},
	{ck.CKM_SM3, "abcd", 16, "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"},
	{ck.CKM_SHA_1, "", 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
	{ck.CKM_SHA_1, twoBlocks, 1, "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
	{ck.CKM_SHA_1, "a", 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"},
	{ck.CKM_SHA224, twoBlocks, 1, "75388b16512776cc5dba5da1fd890150b0c6455cb4f58b1952522525"},
	{ck.CKM_SHA256, "", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{ck.CKM_SHA256, twoBlocks, 1, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
	{ck.CKM_SHA256, "a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
	{ck.CKM_SHA384, twoLongBlocks, 1,
		"09330c33f71147e83d192fc782cd1b4753111b173b3b05d22fa08086e3b0f712fcc7c71a557e2db966c3e9fa91746039"},
	{ck.CKM_SHA512, twoLongBlocks, 1,
		"8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018501d289e4900f7e4331b99dec4b5433a" +
			"c7d329eeb6dd26545e96e55b874be909"},
	{ck.CKM_SHA512_224, twoLongBlocks, 1, "23fec5bb94d60b23308192640b0c453335d664734fe40e7268674af9"},
	{ck.CKM_SHA512_256, twoLongBlocks, 1, "3928e184fb8690f840da3988121d31be65cb9d3ef83ee6146feac861e19b563a"},
	{ck.CKM_SHA3_224, "", 1, "6b4e03423667dbb73b6e15454f0eb1abd4597f9a1b078e3f5b5a6bc7"},
	{ck.CKM_SHA3_256, "", 1, "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"},
	{ck.CKM_SHA3_384, "", 1,
		"0c63a75b845e4f7d01107d852e4c2485c51a50aaaa94fc61995e71bbee983a2ac3713831264adb47fb6bd1e058d5f004"},
	{ck.CKM_SHA3_512, "", 1,
		"a69f73cca23a9ac5c8b567dc185a756e97c982164fe25859e0d1dcc1475c80a615b2123af1f5f94c11e3e9402c3ac558" +
			"f500199d95b6d3e301758586281dcd26"},
}

const (
	twoBlocks     = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
	twoLongBlocks = "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno" +
		"ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"
)

func TestDigestVectors(t *testing.T) {
	for _, v := range digestVectors {
		message := bytes.Repeat([]byte(v.message), v.repetitions)
		for _, size := range []int{1, 63, 1000, 1 << 20} {
			if size == 1 && len(message) > 1000 {
				continue
			}
			op, err := Find(v.m).Digest(nil)
			got, err := runParts(op, err, message, size, true)
			if err != nil || !bytes.Equal(got, unhex(v.want)) {
				t.Errorf("%v of %d bytes: %x, %v; want %s", v.m, len(message), got, err, v.want)
			}
		}
	}
	for _, f := range hashFamilies {
		wantError(t, beginError(Find(f.digest).Digest(pattern(4))), ck.CKR_MECHANISM_PARAM_INVALID)
	}
	for _, p := range []any{nil, uint64(0), uint64(384), uint64(512), uint64(1 << 63)} {
		wantError(t, beginError(Find(ck.CKM_SHA512_T).Digest(p)), ck.CKR_MECHANISM_PARAM_INVALID)
		_, err := Find(ck.CKM_SHA512_T_KEY_DERIVATION).Derive(aesKey("00"), p, &Derivation{})
		wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

// TestSHAKE checks FIPS 202's examples for the empty message, and the
// lengths that can be asked for.
func TestSHAKE(t *testing.T) {
	for _, v := range []struct {
		m    ck.MechanismType
		want string
	}{
		{ck.CKM_SHAKE_128, "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26"},
		{ck.CKM_SHAKE_256, "46b9dd2b0ba88d13233b3feb743eeb243fcd52ea62b81b82b50c27646ed5762f" +
			"d75dc4ddd8c0f200cb05019d67b592f6fc821c49479ab48640292eacb3b7c4be"},
	} {
		m := Find(v.m)
		for n := 1; n <= len(v.want)/2; n++ {
			op, err := m.Digest(uint64(n))
			got, err := runOp(op, err, nil)
			if err != nil || !bytes.Equal(got, unhex(v.want)[:n]) {
				t.Errorf("%v, %d bytes: %x, %v", v.m, n, got, err)
			}
		}
		for _, p := range []any{uint64(0), uint64(maxSecret + 1), ^uint64(0), pattern(3)} {
			wantError(t, beginError(m.Digest(p)), ck.CKR_MECHANISM_PARAM_INVALID)
		}
	}
	for _, s := range shakes {
		derive := Find(s.derive).Derive
		base := secretKey(ck.CKK_AES, []byte("abc"))
		got, err := derive(base, nil, &Derivation{Type: ck.CKK_AES, Len: 24})
		if err != nil || !bytes.Equal(got, unhex(s.abc)[:24]) {
			t.Errorf("%v: %x, %v", s.derive, got, err)
		}
		_, err = derive(base, nil, &Derivation{Type: ck.CKK_GENERIC_SECRET})
		wantError(t, err, ck.CKR_TEMPLATE_INCOMPLETE)
		_, err = derive(base, nil, &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 1 << 40})
		wantError(t, err, ck.CKR_KEY_SIZE_RANGE)
		_, err = derive(base, pattern(3), &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 1})
		wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

func TestDigestDerivation(t *testing.T) {
	base := secretKey(ck.CKK_AES, []byte("abc"))
	for _, f := range hashFamilies {
		if f.derive == 0 {
			continue
		}
		derive := Find(f.derive).Derive
		for _, d := range []Derivation{
			{Type: ck.CKK_GENERIC_SECRET},
			{Type: ck.CKK_GENERIC_SECRET, Len: 5},
			{Type: ck.CKK_AES, Len: 16},
		} {
			want := unhex(f.abc)
			if d.Len > 0 {
				want = want[:d.Len]
			}
			got, err := derive(base, nil, &d)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%v: %x, %v; want %x", f.derive, got, err, want)
			}
		}
		_, err := derive(base, nil, &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: len(f.abc)/2 + 1})
		wantError(t, err, ck.CKR_KEY_SIZE_RANGE)
		_, err = derive(base, nil, &Derivation{Type: ck.CKK_AES})
		wantError(t, err, ck.CKR_TEMPLATE_INCOMPLETE)
		_, err = derive(base, pattern(3), &Derivation{Type: ck.CKK_GENERIC_SECRET})
		wantError(t, err, ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

func BenchmarkSHA256(b *testing.B) {
	digest := Find(ck.CKM_SHA256).Digest
	benchCipher(b, func(_ *Key, p any) (Op, error) { return digest(p) }, nil, nil, 32)
}

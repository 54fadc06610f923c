package engine

import (
	"bytes"
	"crypto/aes"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// cavp are cases of NIST's CAVP files, of the kind "multi-block message test".
var cavp = []struct {
	m ck.MechanismType
	a known
}{
	{ck.CKM_AES_OFB, known{"f7718e48dc09373f607f0e52a384cedcdf7f179348de6e73", unhex("c1b7d13dbe1fc137b2def6883342511a"), "b56cb19505ced0a4cdd4ea157ef625c590a0cd1ed035483efc534c558d594f4fd4263fb4482474cc1f86e3061bcd949aa791566e227eb1377b9d1ce0fed4702f6db19da653639ba79509a4dc4a30a1d6", "ee1a61111d0789288314460fae70839516996d2545a80e0a3acd9e2f206ccdcdbbb3b71550c46b17ac1643f572ae45bb1d808c7e71eb2a776f02ded2b56f62b8327c8ef6d943fe2945f7a5436e39c390"}},
	{ck.CKM_AES_CFB128, known{"91b7e6a205c6b3907be709a0528aecd949ffb733452f06f1", unhex("38cd832d3ba1b0ee670ed385d94e8e25"), "b5ec2ea7afae2167e7da5bc2fd68811ad86ee5c6839ffeb73b12165cc64643c406629803cdc19cd6f3adfb8aa66b7c1902793397e113f8ccf5fb1823147a4ac3d2a2e4fb55d74ee3658eb740c35308a9", "cdf42c51d7cf77fb5e8e9e98abb8a54ead22fccce9ec9d4049550e4fba48af42b03274f318e58a9df541a7e8d60a781239542fd4cb8dbdf7acf9e7401349e5f5118cdb5ee64b3d083cf65e67080f7b83"}},
	{ck.CKM_AES_CFB8, known{"537e7bf661fd4024a024613f15b13690f7d0c847c1e18965", unhex("3a81f9d9d3c155b0caad5d73349476fc"), "d3d8b9b984adc24237ee", "3879fea72ac99929e53a"}},
	{ck.CKM_AES_CFB1, known{"1a70f05a082a7103cde278a212ea1ebfd39c5e3314436f30", unhex("4fd0ecac65bfd321c88ebca0daea35d2"), "28", "64"}},
	{ck.CKM_AES_OFB, known{"318aa7c73006ff95840f17f2b9cf01fe7f031105ff01daa66ff95834e47b6f5c", unhex("0e28bd0603b31c26250345a118408ffc"), "257f3fc84537158b68c8af111b1e9eb41f8841686ab1e94c6fd13a7f9f24d535309c340a1dd3d4966e439a41b9b97058e9072f613ef9c1ac958b872bea59f8831b578b63eec2d7155657f953f2c2375b", "ba4ebcdc894e6de54f8f1d7ccbb19e13d2ae0ca66c05c10e2f90bad2e9b8db94ee7770c3557927029d49fd2b3f80a01025af0e7a343237fb625dbdee85367ddfbd7f6664b511cdc7e832b2c4d91f1c0e"}},
	{ck.CKM_AES_CFB128, known{"29849b91ed551889f79e4625f663e8a678118cf8080ec9e49a93c6872abefb03", unhex("adde8ea70e3560ed4b8f5f0cdb5ace8a"), "bcc7d50886394b83c2c048189da18bdee24e4f71cce8c2981802b8255da8a11da09fb81923ef7eec7f9f6786f2c0d319faad3f7a2390bdc91d28a15411ca7eb935a6514b9f4cfbb7576ff5e8afe83f27", "f975edf2d5ca7282599867c4cddb7b99de01e357ea93d4132b6a1718a4cb3d743a5603d6aa556180d84771ed5a9a0caa12b925c9d3fbfe4c351088396697afbef21fe07758c8cc68929b7aa22a6e5837"}},
	{ck.CKM_AES_CFB8, known{"ebbb4566b5e182e0f072466b0b311df38f9175bc0213a5530bce2ec4d74f400d", unhex("0956a48e01002c9e16376d6e308dbad1"), "b0fe25ac8d3d28a2f471", "638c6823e7256fb5626e"}},
	{ck.CKM_AES_CFB1, known{"e0cbd3d04c6c834c7653dc5561cb0f28dfa8b1d84c2b0f4e7b25c28ef15f833d", unhex("a7f279e0278ca4b7da108029b13c26f9"), "4d", "82"}},
	{ck.CKM_DES3_ECB, known{"32325e8583e597296e52c7fbe01a5dad", nil, "c8f97e987da45d96ed5878e565faac36e55f0da3300f93921f4810dd3a46653089c2f6b2a8b95be7", "2c125b84ff980e01d11ac40e2588002a28d30e1013e8e106b2e8347d064b52ef20def27628887605"}},
	{ck.CKM_DES3_CBC, known{"a173545b265875ba852331fbb95b49a8", unhex("ab385756391d364c"), "d08894c565608d9ae51dda63b85b3b33b1703bb5e4f1abcbb8794e743da5d6f3bf630f2e9b6d5b54", "370b47acf89ac6bdbb13c9a7336787dc41e1ad8beead32281d0609fb54968404bdf2894892590658"}},
	{ck.CKM_DES3_CFB8, known{"46fee010313b86463b94d3ef0d861034", unhex("1e010e7780cc221d"), "67cd38d16b9b8604bd2a", "8474ca363c9da2122e06"}},
	{ck.CKM_DES3_CFB64, known{"797583c8519751ef4a5e3d7f8aa29837", unhex("e641b6b7c7d1af10"), "b1b64acfee39514ff5d5aee9556a10a0d53317a5b9f8ba254085e666715c671217a70cd30b70061f", "bb775b78d68ce24baae01365da6cef78c8a56c095ac1624640f975e0e4cdd61050c6314dfd447ef3"}},
	{ck.CKM_DES3_OFB64, known{"e3347a6b0bc1152c642a25cbd3bc31ab", unhex("faa063a81f197c14"), "b740cc21e925e3c8706007215521b28c0869f9a15427197191a2520f1c16f85004a2c7ce06617733", "23a53e110770974f57ecdb0f4efb143b40c696c55b777b4479a864f7613e7f079c660229e7f47417"}},
	{ck.CKM_DES3_ECB, known{"7694a26d9e1091c237d32cbfa1e351a13df8208cc8081c54", nil, "212399b6144969c0c9f35191f5d1d4f641b607faa19b8c07e1e7c44d81ee4167c2b77a3c0102c324", "47ff992001e04464e55fd48a48e040a4ef3e0839c49a2794c5c0c9f2a80d345fcaea8e398416ab8e"}},
	{ck.CKM_DES3_CBC, known{"ef6d3e54266d978ffb0b8ce6689d803e2cd34cc802fd0252", unhex("38bae5bce06d0ad9"), "c4f228b537223cd01c0debb5d9d4e12ba71656618d119b2f8f0af29d23efa3a9e43c4c458a1b79a0", "9e3289fb18379f55aa4e45a7e0e6df160b33b75f8627ad0954f8fdcb78cee55a4664caeda1000fe5"}},
	{ck.CKM_DES3_CFB8, known{"df97ab263768d6f461866e1c86d57a541301734c5dc86dae", unhex("d0ddad02a219226d"), "d5db2469ae56ecac5164", "14a0743bf00ae9ec3c24"}},
	{ck.CKM_DES3_CFB64, known{"a2a746158fab29e0894676611f9d73ad0b3832675710b015", unhex("80ee89f42d88119b"), "1c25224f090d9e80c5279fcb390b711f28c109666227e00a3a9202b839b8616414ce708ddcededc2", "13a95d0c40c5a8410945d2b165141f9eda40703a2154ac33133052d6b9a7585b9da6557163137c79"}},
	{ck.CKM_DES3_OFB64, known{"08a79b8cb9da6ee95d10088ca89198e6b6e02501b04054c1", unhex("ba2d1fd4c2c29805"), "d0c95248df22f49c78d59d9ad2124d950069e53b0d8cdb744a57328de70daa95c1e534077bc5a8aa", "c8b2d022765af223a2ea00323dc39e34d808f7cc0ea83bcbd97e4f9223762c875e078bc60134c13f"}},
}

// TestModes checks known answers of the modes in parts of all sizes and in place.
func TestModes(t *testing.T) {
	list := append(slices.Clone(cavp), []struct {
		m ck.MechanismType
		a known
	}{
		{ck.CKM_AES_OFB, aesOFBAnswer},
		{ck.CKM_AES_CFB1, aesCFB1Answer},
		{ck.CKM_AES_CFB8, aesCFB8Answer},
		{ck.CKM_AES_CFB64, aesCFB64Answer},
		{ck.CKM_AES_CFB128, aesCFB128Answer},
		{ck.CKM_AES_CBC_PAD_IPSEC, aesIPsecAnswer},
		{ck.CKM_AES_XTS, aesXTSAnswers[0]},
		{ck.CKM_AES_XTS, aesXTSAnswers[1]},
		{ck.CKM_DES_ECB, desECBAnswer},
		{ck.CKM_DES_CBC, desCBCAnswer},
		{ck.CKM_DES_CBC_PAD, desPadAnswer},
		{ck.CKM_DES_CFB8, desCFB8Answer},
		{ck.CKM_DES_CFB64, desCFB64Answer},
		{ck.CKM_DES_OFB8, desOFB8Answer},
		{ck.CKM_DES_OFB64, desOFBAnswer},
		{ck.CKM_DES_OFB64, des3OFBAnswer},
		{ck.CKM_DES3_CTR, des3CTRAnswer},
		{ck.CKM_DES3_CBC_PAD, des3PadAnswer(pkcs7)},
		{ck.CKM_DES3_CBC_PAD_IPSEC, des3PadAnswer(ipsec)},
	}...)
	for _, c := range list {
		k := secretKey(Find(c.m).keyType(len(c.a.key)/2), unhex(c.a.key))
		checkCipher(t, c.m, k, c.a.p, unhex(c.a.in), unhex(c.a.out))
	}
}

// TestFeedbackCut checks that messages need not end with a segment.
func TestFeedbackCut(t *testing.T) {
	for _, c := range []struct {
		m ck.MechanismType
		a known
	}{{ck.CKM_AES_OFB, aesOFBAnswer}, {ck.CKM_AES_CFB64, aesCFB64Answer}, {ck.CKM_AES_CFB128, aesCFB128Answer}} {
		for _, n := range []int{0, 1, 7, 9, 15, 17, 23} {
			checkCipher(t, c.m, aesKey(c.a.key), c.a.p, unhex(c.a.in)[:n], unhex(c.a.out)[:n])
		}
	}
}

// TestCTS: all of RFC 3962, appendix B, whose last two blocks are the other way
// round.
func TestCTS(t *testing.T) {
	k := aesKey(aesCTSAnswers[0].key)
	plain := unhex("4920776f756c64206c696b65207468652047656e6572616c2047617527732043" +
		"6869636b656e2c20706c656173652c20616e6420776f6e746f6e20736f75702e")
	for n, kerberos := range map[int]string{
		17: "c6353568f2bf8cb4d8a580362da7ff7f97",
		31: "fc00783e0efdb2c1d445d4c8eff7ed2297687268d6ecccc0c07b25e25ecfe5",
		32: "39312523a78662d5be7fcbcc98ebf5a897687268d6ecccc0c07b25e25ecfe584",
		47: "97687268d6ecccc0c07b25e25ecfe584b3fffd940c16a18c1b5549d2f838029e39312523a78662d5be7fcbcc98ebf5",
		48: "97687268d6ecccc0c07b25e25ecfe5849dad8bbb96c4cdc03bc103e1a194bbd839312523a78662d5be7fcbcc98ebf5a8",
		64: "97687268d6ecccc0c07b25e25ecfe58439312523a78662d5be7fcbcc98ebf5a8" +
			"4807efe836ee89a526730dbc2f7bc8409dad8bbb96c4cdc03bc103e1a194bbd8",
	} {
		cipher, last := unhex(kerberos), (n-1)/16*16-16
		cipher = slices.Concat(cipher[:last], cipher[last+16:], cipher[last:last+16])
		checkCipher(t, ck.CKM_AES_CTS, k, make([]byte, 16), plain[:n], cipher)
	}
	// One block is CBC.
	checkCipher(t, ck.CKM_AES_CTS, aesKey(sp80038aKey), aesCBCAnswer.p, unhex(sp80038aPlain)[:16], unhex(aesCBCAnswer.out)[:16])
}

// TestStealing checks what both modes with stealing do at all lengths: parts and
// the whole agree, and lengths that cannot be are refused.
func TestStealing(t *testing.T) {
	xts := secretKey(ck.CKK_AES_XTS, pattern(64))
	for m, k := range map[ck.MechanismType]*Key{ck.CKM_AES_CTS: secretKey(ck.CKK_AES, pattern(32)), ck.CKM_AES_XTS: xts} {
		row := Find(m)
		for n := 16; n < 70; n++ {
			op, err := row.Encrypt(k, pattern(16))
			sealed, err := runOp(op, err, pattern(n))
			if err != nil {
				t.Fatal(err)
			}
			checkCipher(t, m, k, pattern(16), pattern(n), sealed)
		}
		for n := range 16 {
			op, err := row.Encrypt(k, pattern(16))
			wantError(t, finishError(op, err, pattern(n)), ck.CKR_DATA_LEN_RANGE)
			op, err = row.Decrypt(k, pattern(16))
			wantError(t, finishError(op, err, pattern(n)), ck.CKR_ENCRYPTED_DATA_LEN_RANGE)
		}
	}
	// The longest data unit of XTS, without one that long.
	op, err := Find(ck.CKM_AES_XTS).Encrypt(xts, pattern(16))
	if err != nil {
		t.Fatal(err)
	}
	s := op.(*stealingOp)
	if s.left != 1<<20*16 {
		t.Errorf("data units of %d bytes", s.left)
	}
	s.left = 40
	if _, err := s.Update(make([]byte, 32), pattern(39)); err != nil {
		t.Error(err)
	}
	wantError(t, finishError(s, nil, pattern(2)), ck.CKR_DATA_LEN_RANGE)
}

// TestXTSTwoKeys: the second key comes by way of the parameter.
func TestXTSTwoKeys(t *testing.T) {
	a := aesXTSAnswers[1]
	one, two := aesKey(a.key[:32]), aesKey(a.key[32:])
	p := &AESXTSParams{TweakKey: 7, CB: [16]byte(a.p.([]byte))}
	checkCipher(t, ck.CKM_AES_XTS_OLD, one, &WithKeys{p, []*Key{two}}, unhex(a.in), unhex(a.out))
	encrypt := Find(ck.CKM_AES_XTS_OLD).Encrypt
	for _, bad := range []any{nil, p, (*WithKeys)(nil), &WithKeys{p, nil}, &WithKeys{p, []*Key{nil}},
		&WithKeys{nil, []*Key{two}}, &WithKeys{(*AESXTSParams)(nil), []*Key{two}}} {
		wantError(t, beginError(encrypt(one, bad)), ck.CKR_MECHANISM_PARAM_INVALID)
	}
	wantError(t, beginError(encrypt(one, &WithKeys{p, []*Key{secretKey(ck.CKK_AES, pattern(32))}})), ck.CKR_KEY_SIZE_RANGE)
	long := secretKey(ck.CKK_AES, pattern(24))
	wantError(t, beginError(encrypt(long, &WithKeys{p, []*Key{long}})), ck.CKR_KEY_SIZE_RANGE)
	other := secretKey(ck.CKK_GENERIC_SECRET, pattern(16))
	wantError(t, beginError(encrypt(one, &WithKeys{p, []*Key{other}})), ck.CKR_KEY_TYPE_INCONSISTENT)
}

func TestXTSKeyGen(t *testing.T) {
	for _, n := range []uint64{32, 64} {
		attrs, err := Find(ck.CKM_AES_XTS_KEY_GEN).Generate(nil, []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, n)})
		if err != nil || uint64(len(ck.Find(attrs, ck.CKA_VALUE).Value)) != n {
			t.Errorf("%d: %v", n, err)
		}
	}
	for _, n := range []uint64{16, 31, 48, 128} {
		_, err := Find(ck.CKM_AES_XTS_KEY_GEN).Generate(nil, []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, n)})
		wantError(t, err, ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	if differentHalves(make([]byte, 64)) || !differentHalves(pattern(64)) {
		t.Error("differentHalves is wrong")
	}
}

// TestIPsecPadding checks all lengths, and that wrong paddings look alike.
func TestIPsecPadding(t *testing.T) {
	k := aesKey(sp80038aKey)
	row, cbc := Find(ck.CKM_AES_CBC_PAD_IPSEC), Find(ck.CKM_AES_CBC)
	for n := range 40 {
		op, err := row.Encrypt(k, pattern(16))
		sealed, err := runOp(op, err, pattern(n))
		if err != nil {
			t.Fatal(err)
		}
		checkCipher(t, ck.CKM_AES_CBC_PAD_IPSEC, k, pattern(16), pattern(n), sealed)
		op, err = cbc.Decrypt(k, pattern(16))
		plain, err := runOp(op, err, sealed)
		if err != nil || plain[n] != 1 || int(plain[len(plain)-1]) != len(plain)-n {
			t.Errorf("%x, %v", plain, err)
		}
	}
	for _, end := range [][]byte{{0}, {2}, {2, 2}, {1, 3}, {17}, {255}, {0, 2, 3}, slices.Repeat([]byte{16}, 16)} {
		plain := append(bytes.Repeat([]byte{0xaa}, 32-len(end)), end...)
		op, err := cbc.Encrypt(k, pattern(16))
		sealed, err := runOp(op, err, plain)
		if err != nil {
			t.Fatal(err)
		}
		op, err = row.Decrypt(k, pattern(16))
		wantError(t, finishError(op, err, sealed), ck.CKR_ENCRYPTED_DATA_INVALID)
	}
}

// TestMAC: all of RFC 3566, section 4, for XCBC; the others' published answers
// are the self-tests'.
func TestMAC(t *testing.T) {
	k := aesKey("000102030405060708090a0b0c0d0e0f")
	message := make([]byte, 34)
	for i := range message {
		message[i] = byte(i)
	}
	for n, code := range map[int]string{
		0: "75f0251d528ac01c4573dfd584d79f29", 3: "5b376580ae2f19afe7219ceef172756f",
		16: "d2a246fa349b68a79998a4394ff7a263", 20: "47f51b4564966215b8985c63055ed308",
		32: "f54f0ec8d2b9f3d36807734bd5283fd4", 34: "becbb3bccdb518a30677d5481fb6b4d8",
	} {
		checkMAC(t, ck.CKM_AES_XCBC_MAC, k, nil, message[:n], unhex(code))
		checkMAC(t, ck.CKM_AES_XCBC_MAC_96, k, nil, message[:n], unhex(code)[:12])
	}
	checkMAC(t, ck.CKM_AES_XCBC_MAC, k, nil, make([]byte, 1000), unhex("f0dafee895db30253761103b5d84528f"))
	wantError(t, beginError(Find(ck.CKM_AES_XCBC_MAC).Sign(secretKey(ck.CKK_AES, pattern(24)), nil)), ck.CKR_KEY_SIZE_RANGE)

	for m, answers := range map[ck.MechanismType][]known{
		ck.CKM_AES_MAC: aesMACAnswers(nil, 8), ck.CKM_AES_MAC_GENERAL: aesMACAnswers(uint64(15), 15),
		ck.CKM_DES_MAC: desMACAnswers(nil, 4), ck.CKM_DES_MAC_GENERAL: desMACAnswers(uint64(8), 8),
		ck.CKM_DES3_MAC: {des3MACAnswer(nil, 4)}, ck.CKM_DES3_MAC_GENERAL: {des3MACAnswer(uint64(7), 7)},
		ck.CKM_DES3_CMAC: des3CMACAnswers(nil, 8), ck.CKM_DES3_CMAC_GENERAL: des3CMACAnswers(uint64(1), 1),
		ck.CKM_DES3_X919_MAC: retailMACAnswers,
	} {
		for _, a := range answers {
			k := secretKey(Find(m).keyType(len(a.key)/2), unhex(a.key))
			checkMAC(t, m, k, a.p, unhex(a.in), unhex(a.out))
		}
	}
	// By the type of the key, as derivations use it.
	for _, a := range append(des3CMACAnswers(nil, 8), aesCMACAnswers(nil, 16)...) {
		kt := ck.CKK_AES
		if len(a.out) == 16 {
			kt = Find(ck.CKM_DES3_CMAC).keyType(len(a.key) / 2)
		}
		m, err := newCMAC(secretKey(kt, unhex(a.key)), len(a.out)/2)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.write(unhex(a.in)); err != nil || hex.EncodeToString(m.sum(nil)) != a.out {
			t.Errorf("%v: %v", kt, err)
		}
	}
	_, err := newCMAC(secretKey(ck.CKK_GENERIC_SECRET, pattern(16)), 16)
	wantError(t, err, ck.CKR_KEY_TYPE_INCONSISTENT)
	for m, most := range map[ck.MechanismType]uint64{ck.CKM_AES_MAC_GENERAL: 16, ck.CKM_DES3_MAC_GENERAL: 8, ck.CKM_DES3_CMAC_GENERAL: 8} {
		k := secretKey(Find(m).Keys[0], pattern(16))
		for _, p := range []any{nil, uint64(0), most + 1, pattern(4)} {
			wantError(t, beginError(Find(m).Sign(k, p)), ck.CKR_MECHANISM_PARAM_INVALID)
		}
	}
}

// TestMadeIV: without an IV one is made, and comes behind the tag.
func TestMadeIV(t *testing.T) {
	k, aad := aesKey(sp80038aKey), pattern(5)
	row := Find(ck.CKM_AES_GCM)
	for _, tagBits := range []uint64{128, 96, 32} {
		p := &GCMParams{AAD: aad, TagBits: tagBits}
		tag := int(tagBits / 8)
		for _, size := range []int{1 << 20, 7} {
			op, err := row.Encrypt(k, p)
			sealed, err := runParts(op, err, pattern(50), size, true)
			if err != nil || len(sealed) != 50+tag+16 {
				t.Fatalf("%d bytes, %v", len(sealed), err)
			}
			end := 50 + tag
			checkCipher(t, ck.CKM_AES_GCM, k, &GCMParams{IV: sealed[end:], AAD: aad, TagBits: tagBits}, pattern(50), sealed[:end])
			op, err = row.Decrypt(k, p)
			plain, err := runParts(op, err, sealed, size, true)
			if err != nil || !bytes.Equal(plain, pattern(50)) {
				t.Errorf("%x, %v", plain, err)
			}
			for _, i := range []int{0, 49, 50, end - 1, end, end + 15} {
				bad := bytes.Clone(sealed)
				bad[i] ^= 1
				op, err = row.Decrypt(k, p)
				wantError(t, finishError(op, err, bad), ck.CKR_ENCRYPTED_DATA_INVALID)
			}
			op, err = row.Decrypt(k, p)
			wantError(t, finishError(op, err, sealed[:tag+15]), ck.CKR_ENCRYPTED_DATA_LEN_RANGE)
		}
	}
	mac := Find(ck.CKM_AES_GMAC)
	p := &GMACParams{GCMParams{TagBits: 128}}
	op, err := mac.Sign(k, p)
	one, err := runOp(op, err, pattern(20))
	if err != nil || len(one) != 32 {
		t.Fatalf("%x, %v", one, err)
	}
	op, err = mac.Sign(k, p)
	if two, err := runOp(op, err, pattern(20)); err != nil || bytes.Equal(one, two) {
		t.Errorf("the IV is no other: %v", err)
	}
	verify := func(sig []byte) error {
		v, err := mac.Verify(k, p)
		if err != nil {
			t.Fatal(err)
		}
		return v.Verify(pattern(20), sig)
	}
	if err := verify(one); err != nil {
		t.Error(err)
	}
	for i := range one {
		bad := bytes.Clone(one)
		bad[i] ^= 1
		wantError(t, verify(bad), ck.CKR_SIGNATURE_INVALID)
	}
	wantError(t, verify(one[:16]), ck.CKR_SIGNATURE_LEN_RANGE)
}

// TestWrapParams: wrapping with an IV that is made, and without.
func TestWrapParams(t *testing.T) {
	k, key := aesKey(sp80038aKey), pattern(40)
	for m, param := range map[ck.MechanismType]func(how ck.GeneratorFunction, iv []byte) any{
		ck.CKM_AES_GCM: func(how ck.GeneratorFunction, iv []byte) any {
			return &GCMWrapParams{IV: iv, IVGenerator: how, AAD: pattern(3), TagBits: 128}
		},
		ck.CKM_AES_CCM: func(how ck.GeneratorFunction, iv []byte) any {
			return &CCMWrapParams{Nonce: iv, NonceGenerator: how, AAD: pattern(3), MACLen: 16}
		},
	} {
		row := Find(m)
		for _, how := range []ck.GeneratorFunction{ck.CKG_NO_GENERATE, ck.CKG_GENERATE, ck.CKG_GENERATE_RANDOM} {
			iv := make([]byte, 12)
			op, err := row.Wrap(k, param(how, iv))
			wrapped, err := runOp(op, err, key)
			if err != nil || len(wrapped) != len(key)+16 {
				t.Fatalf("%v: %d bytes, %v", m, len(wrapped), err)
			}
			if made := !bytes.Equal(iv, make([]byte, 12)); made != (how != ck.CKG_NO_GENERATE) {
				t.Errorf("%v, %v: IV %x", m, how, iv)
			}
			op, err = row.Unwrap(k, param(ck.CKG_NO_GENERATE, iv))
			if got, err := runOp(op, err, wrapped); err != nil || !bytes.Equal(got, key) {
				t.Errorf("%v: %x, %v", m, got, err)
			}
			wrapped[3] ^= 1
			op, err = row.Unwrap(k, param(ck.CKG_NO_GENERATE, iv))
			wantError(t, finishError(op, err, wrapped), ck.CKR_WRAPPED_KEY_INVALID)
		}
		for _, how := range []ck.GeneratorFunction{ck.CKG_GENERATE_COUNTER, ck.CKG_GENERATE_COUNTER_XOR, 99} {
			wantError(t, beginError(row.Wrap(k, param(how, make([]byte, 12)))), ck.CKR_MECHANISM_PARAM_INVALID)
		}
		for _, how := range []ck.GeneratorFunction{ck.CKG_NO_GENERATE, ck.CKG_GENERATE} {
			wantError(t, beginError(row.Wrap(k, param(how, nil))), ck.CKR_MECHANISM_PARAM_INVALID)
			wantError(t, beginError(row.Unwrap(k, param(how, nil))), ck.CKR_MECHANISM_PARAM_INVALID)
		}
	}
}

// TestGCMWithoutOwn runs GCM's answers for a cipher of which the standard library
// knows nothing.
func TestGCMWithoutOwn(t *testing.T) {
	c := &blockCipher{keys: []ck.KeyType{ck.CKK_AES}, size: 16, new: aes.NewCipher}
	for _, a := range []known{aesGCMAnswer(128), aesGCMAnswer(96), aesGCMAnswer(64)} {
		for _, size := range []int{1 << 20, 5} {
			op, err := c.newGCMEncrypt(aesKey(a.key), a.p)
			got, err := runParts(op, err, unhex(a.in), size, true)
			if err != nil || hex.EncodeToString(got) != a.out {
				t.Errorf("%x, %v", got, err)
			}
			op, err = c.newGCMDecrypt(aesKey(a.key), a.p)
			got, err = runParts(op, err, unhex(a.out), size, true)
			if err != nil || hex.EncodeToString(got) != a.in {
				t.Errorf("%x, %v", got, err)
			}
		}
	}
}

// TestWrongParams starts every operation of every row for block ciphers with
// parameters that are not its own.
func TestWrongParams(t *testing.T) {
	params := []any{
		nil, []byte(nil), []byte{}, pattern(1), pattern(8), pattern(16), uint64(0), uint64(1 << 63), ck.ObjectHandle(1), "x",
		(*CTRParams)(nil), (*DESCTRParams)(nil), &CTRParams{}, &DESCTRParams{}, &CTRParams{CounterBits: 200}, &DESCTRParams{CounterBits: 65},
		(*GCMParams)(nil), &GCMParams{}, (*GMACParams)(nil), &GMACParams{}, (*CCMParams)(nil), &CCMParams{},
		(*GCMWrapParams)(nil), &GCMWrapParams{}, (*CCMWrapParams)(nil), &CCMWrapParams{},
		(*StringDataParams)(nil), &StringDataParams{}, (*AESCBCEncryptDataParams)(nil), &AESCBCEncryptDataParams{},
		(*DESCBCEncryptDataParams)(nil), &DESCBCEncryptDataParams{}, (*AESXTSParams)(nil), &AESXTSParams{}, (*WithKeys)(nil), &WithKeys{},
	}
	for _, m := range Mechanisms() {
		if len(m.Keys) == 0 || blockCiphers[m.Keys[0]] == nil {
			continue
		}
		for _, n := range []int{0, 1, 8, 15, 16, 24, 32, 64} {
			for _, kt := range m.Keys {
				k := secretKey(kt, pattern(n))
				for _, p := range params {
					for _, f := range []begin{m.Encrypt, m.Decrypt, m.Sign, m.Wrap, m.Unwrap} {
						if f == nil {
							continue
						}
						if op, err := f(k, p); err == nil {
							_, _ = runOp(op, nil, pattern(40))
						}
					}
					if m.Verify != nil {
						if v, err := m.Verify(k, p); err == nil {
							_ = v.Verify(pattern(3), pattern(16))
						}
					}
					if m.Derive != nil {
						_, _ = m.Derive(k, p, &Derivation{Type: ck.CKK_DES2, Len: 16})
					}
				}
			}
		}
	}
}

func BenchmarkBlockModes(b *testing.B) {
	des3 := secretKey(ck.CKK_DES3, pattern(24))
	for _, c := range []struct {
		m ck.MechanismType
		k *Key
		p any
	}{
		{ck.CKM_AES_OFB, benchKey(32), pattern(16)},
		{ck.CKM_AES_CFB8, benchKey(32), pattern(16)},
		{ck.CKM_AES_CFB128, benchKey(32), pattern(16)},
		{ck.CKM_AES_CTS, benchKey(32), pattern(16)},
		{ck.CKM_AES_XTS, secretKey(ck.CKK_AES_XTS, pattern(64)), pattern(16)},
		{ck.CKM_DES3_CBC, des3, pattern(8)},
		{ck.CKM_DES3_ECB, des3, nil},
	} {
		b.Run(c.m.String(), func(b *testing.B) { benchCipher(b, Find(c.m).Encrypt, c.k, c.p, 0) })
	}
	plain := &blockCipher{keys: []ck.KeyType{ck.CKK_AES}, size: 16, new: aes.NewCipher}
	b.Run("GCM with our own GHASH", func(b *testing.B) {
		benchCipher(b, plain.newGCMEncrypt, benchKey(32), &GCMParams{IV: pattern(12), TagBits: 128}, 16)
	})
}

package engine

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"os"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

var oaepSHA256 = &OAEPParams{HashAlg: ck.CKM_SHA256, MGF: ck.CKG_MGF1_SHA256, Source: ck.CKZ_DATA_SPECIFIED}

func TestRSARoundTrip(t *testing.T) {
	pub, priv := published(t)
	for _, data := range [][]byte{nil, {}, {0}, {0, 0, 7}, []byte("some data"), bytes.Repeat([]byte{0xff}, 190)} {
		for m, p := range map[ck.MechanismType]any{ck.CKM_RSA_PKCS: nil, ck.CKM_RSA_PKCS_OAEP: oaepSHA256} {
			c, err := encrypt(pub, m, p, data)
			if err != nil || len(c) != 256 {
				t.Fatalf("%v: %v", m, err)
			}
			if got, err := decrypt(priv, m, p, c); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%v: %x, %v", m, got, err)
			}
		}
		raw, err := encrypt(pub, ck.CKM_RSA_X_509, nil, data)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decrypt(priv, ck.CKM_RSA_X_509, nil, raw)
		if err != nil || len(got) != 256 || !bytes.HasSuffix(got, data) || !allZero(got[:256-len(data)]) {
			t.Errorf("raw: %x, %v", got, err)
		}
	}
}

func TestRSALengths(t *testing.T) {
	pub, priv := published(t)
	oaepMax := 256 - 2*32 - 2
	for _, x := range []struct {
		m   ck.MechanismType
		p   any
		len int
		rv  ck.RV
	}{
		{ck.CKM_RSA_PKCS, nil, 245, ck.CKR_OK},
		{ck.CKM_RSA_PKCS, nil, 246, ck.CKR_DATA_LEN_RANGE},
		{ck.CKM_RSA_PKCS, nil, 5000, ck.CKR_DATA_LEN_RANGE},
		{ck.CKM_RSA_PKCS_OAEP, oaepSHA256, oaepMax, ck.CKR_OK},
		{ck.CKM_RSA_PKCS_OAEP, oaepSHA256, oaepMax + 1, ck.CKR_DATA_LEN_RANGE},
		{ck.CKM_RSA_X_509, nil, 255, ck.CKR_OK},
		{ck.CKM_RSA_X_509, nil, 256, ck.CKR_DATA_INVALID}, // all ones: more than n
		{ck.CKM_RSA_X_509, nil, 257, ck.CKR_DATA_LEN_RANGE},
	} {
		_, err := encrypt(pub, x.m, x.p, bytes.Repeat([]byte{0xff}, x.len))
		wantRV(t, fmt.Sprintf("%v encrypts %d bytes", x.m, x.len), err, x.rv)
	}
	for _, m := range []ck.MechanismType{ck.CKM_RSA_PKCS, ck.CKM_RSA_X_509, ck.CKM_RSA_PKCS_OAEP} {
		var p any
		if m == ck.CKM_RSA_PKCS_OAEP {
			p = oaepSHA256
		}
		for _, n := range []int{0, 1, 255, 257} {
			_, err := decrypt(priv, m, p, make([]byte, n))
			wantRV(t, fmt.Sprintf("%v decrypts %d bytes", m, n), err, ck.CKR_ENCRYPTED_DATA_LEN_RANGE)
		}
		_, err := decrypt(priv, m, p, bytes.Repeat([]byte{0xff}, 256))
		wantRV(t, fmt.Sprintf("%v decrypts more than n", m), err, ck.CKR_ENCRYPTED_DATA_INVALID)
	}
}

// TestRSASignLengths is about CKM_RSA_PKCS and CKM_RSA_X_509 without a hash.
func TestRSASignLengths(t *testing.T) {
	pub, priv := published(t)
	for _, x := range []struct {
		m      ck.MechanismType
		len    int
		signRV ck.RV
	}{
		{ck.CKM_RSA_PKCS, 0, ck.CKR_OK},
		{ck.CKM_RSA_PKCS, 36, ck.CKR_OK}, // MD5 and SHA-1 of TLS
		{ck.CKM_RSA_PKCS, 245, ck.CKR_OK},
		{ck.CKM_RSA_PKCS, 246, ck.CKR_DATA_LEN_RANGE},
		{ck.CKM_RSA_X_509, 0, ck.CKR_OK},
		{ck.CKM_RSA_X_509, 255, ck.CKR_OK},
		{ck.CKM_RSA_X_509, 256, ck.CKR_DATA_INVALID},
		{ck.CKM_RSA_X_509, 257, ck.CKR_DATA_LEN_RANGE},
	} {
		what := fmt.Sprintf("%v signs %d bytes", x.m, x.len)
		data := bytes.Repeat([]byte{0xff}, x.len)
		sig, err := sign(priv, x.m, nil, data)
		wantRV(t, what, err, x.signRV)
		if err != nil {
			if x.signRV == ck.CKR_DATA_LEN_RANGE {
				wantRV(t, what+", verifying", verify(pub, x.m, nil, data, make([]byte, 256)), ck.CKR_DATA_LEN_RANGE)
			}
			continue
		}
		wantRV(t, what+", good", verify(pub, x.m, nil, data, sig), ck.CKR_OK)
		wantRV(t, what+", longer data", verify(pub, x.m, nil, append([]byte{1}, data[:len(data)/2]...), sig), ck.CKR_SIGNATURE_INVALID)
		wantRV(t, what+", bad", verify(pub, x.m, nil, data, flip(sig, 255)), ck.CKR_SIGNATURE_INVALID)
		wantRV(t, what+", more than n", verify(pub, x.m, nil, data, bytes.Repeat([]byte{0xff}, 256)), ck.CKR_SIGNATURE_INVALID)
		for _, s := range [][]byte{nil, sig[:255], append([]byte{0}, sig...)} {
			wantRV(t, what+", other length", verify(pub, x.m, nil, data, s), ck.CKR_SIGNATURE_LEN_RANGE)
		}
		op, err := Find(x.m).VerifyRecover(pub, nil)
		got, err := single(op, err, sig)
		if err != nil || !bytes.HasSuffix(got, data) || x.m == ck.CKM_RSA_PKCS && len(got) != len(data) {
			t.Errorf("%s: recovered %x, %v", what, got, err)
		}
	}
}

// TestRawVerifyShort checks that leading zeros are implied on both sides.
func TestRawVerifyShort(t *testing.T) {
	pub, priv := published(t)
	sig, err := sign(priv, ck.CKM_RSA_X_509, nil, []byte("short"))
	if err != nil {
		t.Fatal(err)
	}
	long := append(make([]byte, 251), "short"...)
	wantRV(t, "padded by the caller", verify(pub, ck.CKM_RSA_X_509, nil, long, sig), ck.CKR_OK)
	wantRV(t, "too short", verify(pub, ck.CKM_RSA_X_509, nil, []byte("hort"), sig), ck.CKR_SIGNATURE_INVALID)
}

func TestPKCS1VerifyRecoverRefuses(t *testing.T) {
	pub, priv := published(t)
	block := func(f func(em []byte)) []byte {
		em := make([]byte, 256)
		em[1] = 1
		for i := 2; i < 240; i++ {
			em[i] = 0xff
		}
		f(em)
		sig, err := decrypt(priv, ck.CKM_RSA_X_509, nil, em)
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	for name, sig := range map[string][]byte{
		"type 2":         block(func(em []byte) { em[1] = 2 }),
		"first byte":     block(func(em []byte) { em[0] = 1 }),
		"padding 0xfe":   block(func(em []byte) { em[9] = 0xfe }),
		"seven of 0xff":  block(func(em []byte) { em[9] = 0 }),
		"no end":         block(func(em []byte) { copy(em[240:], bytes.Repeat([]byte{0xff}, 16)) }),
		"end is not 0":   block(func(em []byte) { em[240] = 1 }),
		"another number": flip(block(func([]byte) {}), 3),
	} {
		op, err := Find(ck.CKM_RSA_PKCS).VerifyRecover(pub, nil)
		_, err = single(op, err, sig)
		wantRV(t, name, err, ck.CKR_SIGNATURE_INVALID)
	}
	op, err := Find(ck.CKM_RSA_PKCS).VerifyRecover(pub, nil)
	got, err := single(op, err, block(func(em []byte) { em[10] = 0 }))
	if err != nil || len(got) != 245 {
		t.Errorf("eight of 0xff: %d bytes, %v", len(got), err)
	}
}

// TestImplicitRejection feeds bad paddings: no error, bytes that the ciphertext
// determines, other bytes for another ciphertext. (That they are the bytes of
// OpenSSL is part of the self-test.)
func TestImplicitRejection(t *testing.T) {
	pub, priv := published(t)
	seen := map[string]string{}
	for name, f := range map[string]func(em []byte){
		"first byte": func(em []byte) { em[0] = 1 },
		"type 1":     func(em []byte) { em[1] = 1 },
		"zero early": func(em []byte) { em[9] = 0 },
		"no zero":    func(em []byte) { em[200] = 9 },
		"all zero":   func(em []byte) { clear(em) },
	} {
		em := bytes.Repeat([]byte{7}, 256)
		em[0], em[1], em[200] = 0, 2, 0
		f(em)
		c, err := encrypt(pub, ck.CKM_RSA_X_509, nil, em)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decrypt(priv, ck.CKM_RSA_PKCS, nil, c)
		if err != nil || len(got) > 245 || bytes.Equal(got, em[201:]) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
		if again, _ := decrypt(priv, ck.CKM_RSA_PKCS, nil, c); !bytes.Equal(got, again) {
			t.Errorf("%s: another answer the second time", name)
		}
		if other, ok := seen[string(got)]; ok && len(got) > 2 {
			t.Errorf("%s and %s: the same answer", name, other)
		}
		seen[string(got)] = name
	}
	em := bytes.Repeat([]byte{7}, 256)
	em[0], em[1], em[10] = 0, 2, 0 // eight bytes of padding are enough
	c, err := encrypt(pub, ck.CKM_RSA_X_509, nil, em)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decrypt(priv, ck.CKM_RSA_PKCS, nil, c); err != nil || !bytes.Equal(got, em[11:]) {
		t.Errorf("longest message: %x, %v", got, err)
	}
}

func TestOAEPFailures(t *testing.T) {
	pub, priv := published(t)
	c, err := encrypt(pub, ck.CKM_RSA_PKCS_OAEP, oaepSHA256, []byte("data"))
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*OAEPParams{
		"other hash":  {HashAlg: ck.CKM_SHA3_256, MGF: ck.CKG_MGF1_SHA256, Source: 1},
		"other MGF":   {HashAlg: ck.CKM_SHA256, MGF: ck.CKG_MGF1_SHA1, Source: 1},
		"other label": {HashAlg: ck.CKM_SHA256, MGF: ck.CKG_MGF1_SHA256, Source: 1, SourceData: []byte{0}},
	} {
		_, err := decrypt(priv, ck.CKM_RSA_PKCS_OAEP, p, c)
		wantRV(t, name, err, ck.CKR_ENCRYPTED_DATA_INVALID)
	}
	_, err = decrypt(priv, ck.CKM_RSA_PKCS_OAEP, oaepSHA256, flip(c, 200))
	wantRV(t, "flipped bit", err, ck.CKR_ENCRYPTED_DATA_INVALID)

	o, err := newOAEP(oaepSHA256)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(em []byte){
		"first byte is not 0": func(em []byte) { em[0] = 1 },
		"no 1":                func(em []byte) { unmask(o, em, func(db []byte) { clear(db[32:]) }) },
		"2 for 1":             func(em []byte) { unmask(o, em, func(db []byte) { db[len(db)-5] = 2 }) },
		"stray 3":             func(em []byte) { unmask(o, em, func(db []byte) { db[40] = 3 }) },
		"label":               func(em []byte) { unmask(o, em, func(db []byte) { db[31] ^= 1 }) },
	} {
		em := make([]byte, 256)
		if err := o.pad(em, []byte("data")); err != nil {
			t.Fatal(err)
		}
		f(em)
		_, err = o.unpad(make([]byte, 256), em)
		wantRV(t, name, err, ck.CKR_ENCRYPTED_DATA_INVALID)
	}
}

// unmask changes the data block of an encoded message.
func unmask(o *oaep, em []byte, change func(db []byte)) {
	seed, db := em[1:33], em[33:]
	mgf := o.mgf.start()
	defer mgf.release()
	mgf1XOR(seed, mgf, db)
	mgf1XOR(db, mgf, seed)
	change(db)
	mgf1XOR(db, mgf, seed)
	mgf1XOR(seed, mgf, db)
}

func TestOAEPParameters(t *testing.T) {
	pub, _ := published(t)
	short, _ := rsaPair(t, 1024)
	for _, x := range []struct {
		name string
		k    *Key
		p    any
		rv   ck.RV
	}{
		{"source 0 without data", pub, &OAEPParams{HashAlg: ck.CKM_SHA_1, MGF: ck.CKG_MGF1_SHA1}, ck.CKR_OK},
		{"source 0 with data", pub, &OAEPParams{HashAlg: ck.CKM_SHA_1, MGF: ck.CKG_MGF1_SHA1, SourceData: []byte{1}}, ck.CKR_MECHANISM_PARAM_INVALID},
		{"source 2", pub, &OAEPParams{HashAlg: ck.CKM_SHA_1, MGF: ck.CKG_MGF1_SHA1, Source: 2}, ck.CKR_MECHANISM_PARAM_INVALID},
		{"no hash", pub, &OAEPParams{MGF: ck.CKG_MGF1_SHA1, Source: 1}, ck.CKR_MECHANISM_PARAM_INVALID},
		{"MD5", pub, &OAEPParams{HashAlg: ck.CKM_MD5, MGF: ck.CKG_MGF1_SHA1, Source: 1}, ck.CKR_MECHANISM_PARAM_INVALID},
		{"no MGF", pub, &OAEPParams{HashAlg: ck.CKM_SHA_1, Source: 1}, ck.CKR_MECHANISM_PARAM_INVALID},
		{"MGF unknown", pub, &OAEPParams{HashAlg: ck.CKM_SHA_1, MGF: 99, Source: 1}, ck.CKR_MECHANISM_PARAM_INVALID},
		{"nil", pub, nil, ck.CKR_MECHANISM_PARAM_INVALID},
		{"nil pointer", pub, (*OAEPParams)(nil), ck.CKR_MECHANISM_PARAM_INVALID},
		{"bytes", pub, []byte("x"), ck.CKR_MECHANISM_PARAM_INVALID},
		{"SHA-512 with 1024 bits", short, &OAEPParams{HashAlg: ck.CKM_SHA512, MGF: ck.CKG_MGF1_SHA1, Source: 1}, ck.CKR_KEY_SIZE_RANGE},
	} {
		_, err := Find(ck.CKM_RSA_PKCS_OAEP).Encrypt(x.k, x.p)
		wantRV(t, x.name, err, x.rv)
	}
}

// TestOAEPAllHashes goes through every hash and every MGF, and compares with the
// standard library where that has the combination.
func TestOAEPAllHashes(t *testing.T) {
	pub, priv := published(t)
	std := standardKey(t, priv)
	known := map[ck.MechanismType]crypto.Hash{
		ck.CKM_SHA_1: crypto.SHA1, ck.CKM_SHA224: crypto.SHA224, ck.CKM_SHA256: crypto.SHA256, ck.CKM_SHA384: crypto.SHA384,
		ck.CKM_SHA512: crypto.SHA512, ck.CKM_SHA3_224: crypto.SHA3_224, ck.CKM_SHA3_256: crypto.SHA3_256,
		ck.CKM_SHA3_384: crypto.SHA3_384, ck.CKM_SHA3_512: crypto.SHA3_512,
		ck.CKM_SHA512_224: crypto.SHA512_224, ck.CKM_SHA512_256: crypto.SHA512_256,
	}
	for h, stdHash := range known {
		for g, mgf := range mgfHashes {
			p := &OAEPParams{HashAlg: h, MGF: g, Source: ck.CKZ_DATA_SPECIFIED, SourceData: []byte("label")}
			c, err := encrypt(pub, ck.CKM_RSA_PKCS_OAEP, p, []byte("data"))
			if err != nil {
				t.Fatalf("%v, %v: %v", h, g, err)
			}
			opts := &rsa.OAEPOptions{Hash: stdHash, MGFHash: known[mgf], Label: []byte("label")}
			if got, err := std.Decrypt(nil, c, opts); err != nil || string(got) != "data" {
				t.Errorf("%v, %v: crypto/rsa: %q %v", h, g, got, err)
			}
		}
	}
}

// standardKey is a private key of the standard library.
func standardKey(t testing.TB, k *Key) *rsa.PrivateKey {
	c := rsaNumbers(k)
	num := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
	std := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: num(c.N), E: int(num(c.E).Int64())},
		D:         num(c.D), Primes: []*big.Int{num(c.P), num(c.Q)},
	}
	std.Precompute()
	if err := std.Validate(); err != nil {
		t.Fatal(err)
	}
	return std
}

func TestPSSParameters(t *testing.T) {
	_, priv := published(t)
	_, short := rsaPair(t, 1024)
	sha1 := func(g ck.MGF, salt uint64) *PSSParams {
		return &PSSParams{HashAlg: ck.CKM_SHA_1, MGF: g, SaltLen: salt}
	}
	for _, x := range []struct {
		name string
		m    ck.MechanismType
		k    *Key
		p    any
		rv   ck.RV
	}{
		{"salt 0", ck.CKM_SHA1_RSA_PKCS_PSS, priv, sha1(ck.CKG_MGF1_SHA1, 0), ck.CKR_OK},
		{"longest salt", ck.CKM_SHA1_RSA_PKCS_PSS, priv, sha1(ck.CKG_MGF1_SHA1, 234), ck.CKR_OK},
		{"too long a salt", ck.CKM_SHA1_RSA_PKCS_PSS, priv, sha1(ck.CKG_MGF1_SHA1, 235), ck.CKR_MECHANISM_PARAM_INVALID},
		{"absurd salt", ck.CKM_SHA1_RSA_PKCS_PSS, priv, sha1(ck.CKG_MGF1_SHA1, 1<<63), ck.CKR_MECHANISM_PARAM_INVALID},
		{"salt -1", ck.CKM_SHA1_RSA_PKCS_PSS, priv, sha1(ck.CKG_MGF1_SHA1, ^uint64(0)), ck.CKR_MECHANISM_PARAM_INVALID},
		{"other MGF hash", ck.CKM_SHA1_RSA_PKCS_PSS, priv, sha1(ck.CKG_MGF1_SHA512, 20), ck.CKR_OK},
		{"no MGF", ck.CKM_SHA1_RSA_PKCS_PSS, priv, sha1(0, 20), ck.CKR_MECHANISM_PARAM_INVALID},
		{"hash of another mechanism", ck.CKM_SHA256_RSA_PKCS_PSS, priv, sha1(ck.CKG_MGF1_SHA1, 20), ck.CKR_MECHANISM_PARAM_INVALID},
		{"no hash", ck.CKM_RSA_PKCS_PSS, priv, &PSSParams{MGF: ck.CKG_MGF1_SHA1}, ck.CKR_MECHANISM_PARAM_INVALID},
		{"MD5", ck.CKM_RSA_PKCS_PSS, priv, &PSSParams{HashAlg: ck.CKM_MD5, MGF: ck.CKG_MGF1_SHA1}, ck.CKR_MECHANISM_PARAM_INVALID},
		{"nil", ck.CKM_RSA_PKCS_PSS, priv, nil, ck.CKR_MECHANISM_PARAM_INVALID},
		{"nil pointer", ck.CKM_SHA256_RSA_PKCS_PSS, priv, (*PSSParams)(nil), ck.CKR_MECHANISM_PARAM_INVALID},
		{"SHA-512 and 64 bytes of salt with 1024 bits", ck.CKM_SHA512_RSA_PKCS_PSS, short,
			&PSSParams{HashAlg: ck.CKM_SHA512, MGF: ck.CKG_MGF1_SHA512, SaltLen: 64}, ck.CKR_MECHANISM_PARAM_INVALID},
	} {
		_, err := sign(x.k, x.m, x.p, make([]byte, 20))
		wantRV(t, x.name, err, x.rv)
	}
	p := sha1(ck.CKG_MGF1_SHA1, 20)
	for _, n := range []int{0, 19, 21, 32} {
		_, err := sign(priv, ck.CKM_RSA_PKCS_PSS, p, make([]byte, n))
		wantRV(t, fmt.Sprintf("digest of %d bytes", n), err, ck.CKR_DATA_LEN_RANGE)
		wantRV(t, fmt.Sprintf("digest of %d bytes", n), verify(priv, ck.CKM_RSA_PKCS_PSS, p, make([]byte, n), make([]byte, 256)), ck.CKR_DATA_LEN_RANGE)
	}
}

// TestPSSVerifies checks that the salt length is exactly the one asked for, and
// sizes of modulus around a whole byte.
func TestPSSVerifies(t *testing.T) {
	message := []byte("message")
	for _, bits := range []uint64{1024, 1025, 1026, 1031} {
		pub, priv := rsaPair(t, bits)
		for _, salt := range []uint64{0, 1, 20} {
			p := &PSSParams{HashAlg: ck.CKM_SHA256, MGF: ck.CKG_MGF1_SHA3_256, SaltLen: salt}
			sig, err := sign(priv, ck.CKM_SHA256_RSA_PKCS_PSS, p, message)
			if err != nil {
				t.Fatal(err)
			}
			for _, other := range []uint64{0, 1, 20, 32} {
				want := ck.CKR_OK
				if other != salt {
					want = ck.CKR_SIGNATURE_INVALID
				}
				p := &PSSParams{HashAlg: ck.CKM_SHA256, MGF: ck.CKG_MGF1_SHA3_256, SaltLen: other}
				wantRV(t, fmt.Sprintf("%d bits, salt %d as %d", bits, salt, other),
					verify(pub, ck.CKM_SHA256_RSA_PKCS_PSS, p, message, sig), want)
			}
			for at := range sig {
				if at%16 == 0 {
					wantRV(t, "flipped bit", verify(pub, ck.CKM_SHA256_RSA_PKCS_PSS, p, message, flip(sig, at)), ck.CKR_SIGNATURE_INVALID)
				}
			}
			wantRV(t, "short", verify(pub, ck.CKM_SHA256_RSA_PKCS_PSS, p, message, sig[1:]), ck.CKR_SIGNATURE_LEN_RANGE)
		}
	}
}

// TestHashedMultiPart signs in parts, in one part, with nothing at all, and
// carries a state over.
func TestHashedMultiPart(t *testing.T) {
	pub, priv := published(t)
	m := ck.CKM_SHA3_384_RSA_PKCS
	message := bytes.Repeat([]byte("0123456789"), 100)
	want, err := sign(priv, m, nil, message)
	if err != nil {
		t.Fatal(err)
	}
	op, err := Find(m).Sign(priv, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range [][]byte{message[:1], nil, message[1:500]} {
		if n, err := op.Update(nil, part); n != 0 || err != nil {
			t.Fatal(n, err)
		}
	}
	state, err := op.(Saver).Save()
	if err != nil {
		t.Fatal(err)
	}
	if op, err = Find(m).Sign(priv, nil); err != nil {
		t.Fatal(err)
	}
	if err := op.(Saver).Load(state); err != nil {
		t.Fatal(err)
	}
	wantRV(t, "broken state", op.(Saver).Load([]byte("nonsense")), ck.CKR_SAVED_STATE_INVALID)
	if err := op.(Saver).Load(state); err != nil {
		t.Fatal(err)
	}
	if got, err := single(op, nil, message[500:]); err != nil || !bytes.Equal(got, want) {
		t.Errorf("in parts: %v", err)
	}
	v, err := Find(m).Verify(pub, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Update(message); err != nil {
		t.Fatal(err)
	}
	wantRV(t, "verify in parts", v.Verify(nil, want), ck.CKR_OK)
	empty, err := sign(priv, m, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantRV(t, "empty message", verify(pub, m, nil, nil, empty), ck.CKR_OK)
	wantRV(t, "parameter where there is none", errOf(Find(m).Sign(priv, []byte{1})), ck.CKR_MECHANISM_PARAM_INVALID)
	wantRV(t, "parameter where there is none", errOf(Find(m).Verify(pub, []byte{1})), ck.CKR_MECHANISM_PARAM_INVALID)
}

func errOf[T any](_ T, err error) error { return err }

// TestOnePartOnly: these mechanisms do not work in parts.
func TestOnePartOnly(t *testing.T) {
	pub, priv := published(t)
	op, err := Find(ck.CKM_RSA_PKCS).Sign(priv, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantRV(t, "sign", errOf(op.Update(nil, nil)), ck.CKR_FUNCTION_NOT_SUPPORTED)
	v, err := Find(ck.CKM_RSA_PKCS).Verify(pub, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantRV(t, "verify", v.Update(nil), ck.CKR_FUNCTION_NOT_SUPPORTED)
}

// TestRSAWithoutAttributes gives every function of every row a key with
// nothing in it, and one that is too short.
func TestRSAWithoutAttributes(t *testing.T) {
	tiny := []ck.Attribute{
		ck.NewBytes(ck.CKA_MODULUS, []byte{0x0c, 0xa1}), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, []byte{17}),
		ck.NewBytes(ck.CKA_PRIVATE_EXPONENT, []byte{0x0a, 0xc1}),
	}
	for _, attrs := range [][]ck.Attribute{nil, tiny} {
		for _, m := range Mechanisms() {
			if len(m.Keys) != 1 || m.Keys[0] != ck.CKK_RSA || m.GeneratePair != nil {
				continue
			}
			k := &Key{Type: ck.CKK_RSA, Attrs: attrs}
			params := []any{nil, oaepSHA256, &PSSParams{ck.CKM_SHA256, ck.CKG_MGF1_SHA256, 32},
				&RSAAESKeyWrapParams{}, &RSAAESKeyWrapParams{256, oaepSHA256}}
			for _, p := range params {
				for _, f := range []func(*Key, any) (Op, error){m.Encrypt, m.Decrypt, m.Sign, m.SignRecover, m.VerifyRecover, m.Wrap, m.Unwrap} {
					if f != nil && errOf(f(k, p)) == nil {
						t.Errorf("%v: works without a key", m.Type)
					}
				}
				if m.Verify != nil && errOf(m.Verify(k, p)) == nil {
					t.Errorf("%v: verifies without a key", m.Type)
				}
			}
		}
	}
}

func TestRSAWrap(t *testing.T) {
	pub, priv := published(t)
	for _, x := range []struct {
		m   ck.MechanismType
		p   any
		max int
	}{
		{ck.CKM_RSA_PKCS, nil, 245},
		{ck.CKM_RSA_PKCS_OAEP, oaepSHA256, 190},
		{ck.CKM_RSA_AES_KEY_WRAP, &RSAAESKeyWrapParams{128, oaepSHA256}, 3000},
		{ck.CKM_RSA_AES_KEY_WRAP, &RSAAESKeyWrapParams{192, oaepSHA256}, 1},
		{ck.CKM_RSA_AES_KEY_WRAP, &RSAAESKeyWrapParams{256, oaepSHA256}, 24},
	} {
		key := bytes.Repeat([]byte{0xa5}, x.max)
		op, err := Find(x.m).Wrap(pub, x.p)
		wrapped, err := single(op, err, key)
		if err != nil {
			t.Errorf("%v: %v", x.m, err)
			continue
		}
		op, err = Find(x.m).Unwrap(priv, x.p)
		if got, err := single(op, err, wrapped); err != nil || !bytes.Equal(got, key) {
			t.Errorf("%v: %x, %v", x.m, got, err)
		}
		op, err = Find(x.m).Unwrap(priv, x.p)
		_, err = single(op, err, wrapped[1:])
		wantRV(t, fmt.Sprintf("%v, short", x.m), err, ck.CKR_WRAPPED_KEY_LEN_RANGE)
		if x.m != ck.CKM_RSA_PKCS {
			for _, at := range []int{5, 100, len(wrapped) - 1} {
				op, err = Find(x.m).Unwrap(priv, x.p)
				_, err = single(op, err, flip(wrapped, at))
				wantRV(t, fmt.Sprintf("%v, flipped", x.m), err, ck.CKR_WRAPPED_KEY_INVALID)
			}
		}
		if x.m != ck.CKM_RSA_AES_KEY_WRAP {
			op, err = Find(x.m).Wrap(pub, x.p)
			_, err = single(op, err, make([]byte, x.max+1))
			wantRV(t, fmt.Sprintf("%v, long key", x.m), err, ck.CKR_KEY_SIZE_RANGE)
		}
	}
}

func TestRSAAESKeyWrapParameters(t *testing.T) {
	pub, priv := published(t)
	short, _ := rsaPair(t, 1024)
	sha512 := &OAEPParams{HashAlg: ck.CKM_SHA384, MGF: ck.CKG_MGF1_SHA1, Source: 1}
	for _, x := range []struct {
		name string
		k    *Key
		p    any
		rv   ck.RV
	}{
		{"nil", pub, nil, ck.CKR_MECHANISM_PARAM_INVALID},
		{"no OAEP", pub, &RSAAESKeyWrapParams{AESKeyBits: 256}, ck.CKR_MECHANISM_PARAM_INVALID},
		{"no size", pub, &RSAAESKeyWrapParams{OAEP: oaepSHA256}, ck.CKR_MECHANISM_PARAM_INVALID},
		{"bytes for bits", pub, &RSAAESKeyWrapParams{32, oaepSHA256}, ck.CKR_MECHANISM_PARAM_INVALID},
		{"absurd size", pub, &RSAAESKeyWrapParams{1 << 63, oaepSHA256}, ck.CKR_MECHANISM_PARAM_INVALID},
		{"short RSA key", short, &RSAAESKeyWrapParams{256, sha512}, ck.CKR_WRAPPING_KEY_SIZE_RANGE},
	} {
		wantRV(t, x.name, errOf(Find(ck.CKM_RSA_AES_KEY_WRAP).Wrap(x.k, x.p)), x.rv)
	}
	op, err := Find(ck.CKM_RSA_AES_KEY_WRAP).Wrap(pub, &RSAAESKeyWrapParams{256, oaepSHA256})
	_, err = single(op, err, nil)
	wantRV(t, "nothing to wrap", err, ck.CKR_KEY_SIZE_RANGE)

	// A right RSA part with an AES key of another length than told.
	op, err = Find(ck.CKM_RSA_AES_KEY_WRAP).Wrap(pub, &RSAAESKeyWrapParams{128, oaepSHA256})
	wrapped, err := single(op, err, []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	op, err = Find(ck.CKM_RSA_AES_KEY_WRAP).Unwrap(priv, &RSAAESKeyWrapParams{256, oaepSHA256})
	_, err = single(op, err, wrapped)
	wantRV(t, "other AES key", err, ck.CKR_WRAPPED_KEY_INVALID)
}

func TestGenerateRSATemplate(t *testing.T) {
	gen := func(list ...ck.Attribute) error {
		_, _, err := Find(ck.CKM_RSA_PKCS_KEY_PAIR_GEN).GeneratePair(nil, list, nil)
		return err
	}
	bits := ck.NewULong(ck.CKA_MODULUS_BITS, uint64(1024))
	wantRV(t, "no size", gen(), ck.CKR_TEMPLATE_INCOMPLETE)
	wantRV(t, "size of four bytes", gen(ck.NewBytes(ck.CKA_MODULUS_BITS, []byte{0, 8, 0, 0})), ck.CKR_ATTRIBUTE_VALUE_INVALID)
	wantRV(t, "too short", gen(ck.NewULong(ck.CKA_MODULUS_BITS, uint64(255))), ck.CKR_KEY_SIZE_RANGE)
	wantRV(t, "too long", gen(ck.NewULong(ck.CKA_MODULUS_BITS, ^uint64(0))), ck.CKR_KEY_SIZE_RANGE)
	for _, e := range [][]byte{nil, {}, {0}, {1}, {2}, {1, 0, 0}, bytes.Repeat([]byte{0xff}, 200)} {
		wantRV(t, hex.EncodeToString(e), gen(bits, ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, e)), ck.CKR_ATTRIBUTE_VALUE_INVALID)
	}
	pub, priv := pair(t, ck.CKM_RSA_PKCS_KEY_PAIR_GEN, bits, ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, []byte{0, 1, 0, 0, 0, 0, 0, 1}))
	if !bytes.Equal(pub.Bytes(ck.CKA_PUBLIC_EXPONENT), []byte{1, 0, 0, 0, 0, 0, 1}) {
		t.Errorf("exponent %x", pub.Bytes(ck.CKA_PUBLIC_EXPONENT))
	}
	if rsaSize(pub) != 1024 || rsaSize(priv) != 1024 {
		t.Error("other size")
	}
	if n, _ := ck.ULong(pub.Bytes(ck.CKA_MODULUS_BITS)); n != 1024 {
		t.Errorf("CKA_MODULUS_BITS %d", n)
	}
	sig, err := sign(priv, ck.CKM_SHA256_RSA_PKCS, nil, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	wantRV(t, "large exponent", verify(pub, ck.CKM_SHA256_RSA_PKCS, nil, []byte("x"), sig), ck.CKR_OK)
}

// TestRSAWithOpenSSL checks the combinations for which there are no published
// answers: PSS with SHA-3 and with mixed hashes, OAEP with SHA-3.
func TestRSAWithOpenSSL(t *testing.T) {
	o := newOpenSSL(t)
	pub, priv := published(t)
	der, err := marshalRSA(priv)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := rsaPublicInfo(priv)
	if err != nil {
		t.Fatal(err)
	}
	o.write("key.der", der)
	o.write("pub.der", spki)
	o.write("message", []byte("message"))
	for m, name := range map[ck.MechanismType]string{
		ck.CKM_SHA3_224_RSA_PKCS_PSS: "sha3-224", ck.CKM_SHA3_256_RSA_PKCS_PSS: "sha3-256",
		ck.CKM_SHA3_384_RSA_PKCS_PSS: "sha3-384", ck.CKM_SHA3_512_RSA_PKCS_PSS: "sha3-512", ck.CKM_SHA512_RSA_PKCS_PSS: "sha512",
	} {
		h := map[string]ck.MechanismType{"sha3-224": ck.CKM_SHA3_224, "sha3-256": ck.CKM_SHA3_256, "sha3-384": ck.CKM_SHA3_384,
			"sha3-512": ck.CKM_SHA3_512, "sha512": ck.CKM_SHA512}[name]
		opts := []string{"-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:17", "-sigopt", "rsa_mgf1_md:sha3-384"}
		p := &PSSParams{HashAlg: h, MGF: ck.CKG_MGF1_SHA3_384, SaltLen: 17}
		sig, err := sign(priv, m, p, []byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		o.write("sig", sig)
		o.run(append([]string{"dgst", "-" + name, "-verify", "pub.der", "-keyform", "DER", "-signature", "sig"}, append(opts, "message")...)...)
		theirs := o.run(append([]string{"dgst", "-" + name, "-sign", "key.der", "-keyform", "DER"}, append(opts, "message")...)...)
		wantRV(t, name, verify(pub, m, p, []byte("message"), theirs), ck.CKR_OK)
	}
	p := &OAEPParams{HashAlg: ck.CKM_SHA3_512, MGF: ck.CKG_MGF1_SHA3_224, Source: 1, SourceData: []byte{0xab, 0xcd}}
	c := o.run("pkeyutl", "-encrypt", "-pubin", "-inkey", "pub.der", "-keyform", "DER", "-in", "message", "-pkeyopt", "rsa_padding_mode:oaep",
		"-pkeyopt", "rsa_oaep_md:sha3-512", "-pkeyopt", "rsa_mgf1_md:sha3-224", "-pkeyopt", "rsa_oaep_label:abcd")
	if got, err := decrypt(priv, ck.CKM_RSA_PKCS_OAEP, p, c); err != nil || string(got) != "message" {
		t.Errorf("OAEP: %q %v", got, err)
	}
}

func (o *openssl) write(name string, b []byte) {
	o.t.Helper()
	if err := os.WriteFile(o.file(name), b, 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// TestRSAPart checks what cannot be seen from outside in one go: that errors
// carry codes and nothing else.
func TestRSAErrorsAreCodes(t *testing.T) {
	_, priv := published(t)
	_, err := decrypt(priv, ck.CKM_RSA_PKCS_OAEP, oaepSHA256, make([]byte, 256))
	var rv ck.RV
	if !errors.As(err, &rv) {
		t.Errorf("%v is no CK_RV", err)
	}
}

func BenchmarkRSA(b *testing.B) {
	for _, bits := range []uint64{2048, 3072, 4096} {
		pub, priv := rsaPair(b, bits)
		digest := sha256.Sum256([]byte("message"))
		info := append([]byte(findHash(ck.CKM_SHA256).info), digest[:]...)
		sig, err := sign(priv, ck.CKM_RSA_PKCS, nil, info)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("Sign/%d", bits), func(b *testing.B) {
			dst := make([]byte, len(sig))
			b.ReportAllocs()
			for b.Loop() {
				op, err := pkcs1Sign(priv, nil)
				if err == nil {
					_, err = op.Finish(dst, info)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("StandardSign/%d", bits), func(b *testing.B) {
			std := standardKey(b, priv)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := rsa.SignPKCS1v15(rand.Reader, std, crypto.SHA256, digest[:]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("Verify/%d", bits), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v, err := pkcs1Verify(pub, nil)
				if err == nil {
					err = v.Verify(info, sig)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestBlindKey: a key that is to be blinded draws random numbers, and its results are
// the same. Every mechanism with a private operation asks the key.
func TestBlindKey(t *testing.T) {
	usual := Reader
	defer func() { Reader = usual }()
	drawn := 0
	Reader = readerFunc(func(b []byte) (int, error) {
		drawn += len(b)
		return usual.Read(b)
	})
	_, k := published(t)
	defer k.Blind.Store(false)
	signature := func() []byte {
		s, err := sign(k, ck.CKM_SHA256_RSA_PKCS, nil, []byte("a message"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	want := signature()
	if drawn != 0 {
		t.Errorf("%d random bytes without blinding", drawn)
	}
	k.Blind.Store(true)
	if got := signature(); !bytes.Equal(got, want) {
		t.Error("another signature with blinding")
	}
	if drawn == 0 {
		t.Error("no random bytes with blinding")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

package conformance

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/dsa" //lint:ignore SA1019 the old algorithm is what is tested
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math/big"
	"testing"
	"unsafe"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/test/c11"
)

// Mechanisms that answer in their parameter.

// pHash is the PRF of TLS, for one hash (RFC 5246, section 5).
func pHash(h func() hash.Hash, secret, seed []byte, n int) (out []byte) {
	mac := func(parts ...[]byte) []byte {
		m := hmac.New(h, secret)
		for _, p := range parts {
			m.Write(p)
		}
		return m.Sum(nil)
	}
	for a := mac(seed); len(out) < n; a = mac(a) {
		out = append(out, mac(a, seed)...)
	}
	return out[:n]
}

// TestTLSKeyMaterial derives the keys and IVs of a connection (section 6.40.5
// of 3.2): they arrive in CK_SSL3_KEY_MAT_OUT, and C_DeriveKey has no handle to give.
func TestTLSKeyMaterial(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	master, clientRandom, serverRandom := sequence(48), sequence(32), bytes.Repeat([]byte{7}, 32)
	base := c.object(secret(ck.CKK_GENERIC_SECRET, master)...)
	block := pHash(sha256.New, master, append(append([]byte("key expansion"), serverRandom...), clientRandom...), 2*(20+16+16))
	next := func(n int) []byte { b := block[:n]; block = block[n:]; return b }
	want := map[string][]byte{}
	for _, p := range []struct {
		name string
		n    int
	}{{"client MAC secret", 20}, {"server MAC secret", 20}, {"client key", 16}, {"server key", 16}, {"client IV", 16}, {"server IV", 16}} {
		want[p.name] = next(p.n)
	}
	keys := append(yes(ck.CKA_EXTRACTABLE, ck.CKA_ENCRYPT, ck.CKA_DECRYPT), class(ck.CKO_SECRET_KEY), keyType(ck.CKK_AES), ulong(ck.CKA_VALUE_LEN, uint64(16)), boolean(ck.CKA_SENSITIVE, false))
	for name, handle := range map[string]func(c *client) unsafe.Pointer{
		"no place for a handle": func(*client) unsafe.Pointer { return nil },
		"a place for a handle":  func(c *client) unsafe.Pointer { return c.ULong(0) },
	} {
		c.sub(name, func(c *client) {
			ivc, ivs := c.Guarded(16), c.Guarded(16)
			out := c.Exact(c11.Words(0, 0, 0, 0, uint64(uintptr(ivc.Ptr())), uint64(uintptr(ivs.Ptr()))))
			param := c11.Words(160, 128, 128, 0, c.Ptr(clientRandom), 32, c.Ptr(serverRandom), 32, uint64(uintptr(out)), uint64(ck.CKM_SHA256))
			c.must("C_DeriveKey", c.s, c.Mechanism(ck.CKM_TLS12_KEY_AND_MAC_DERIVE, param), base, c.Template(keys...), len(keys), handle(c))
			for i, name := range []string{"client MAC secret", "server MAC secret", "client key", "server key"} {
				o := c11.Number(unsafe.Add(out, 8*i))
				if got := c.get(o, ck.CKA_VALUE); !bytes.Equal(got, want[name]) {
					c.t.Errorf("%s is %x, want %x", name, got, want[name])
				}
				kind := uint64(ck.CKK_AES)
				if i < 2 {
					kind = uint64(ck.CKK_GENERIC_SECRET)
				}
				if got := c.getULong(o, ck.CKA_KEY_TYPE); got != kind {
					c.t.Errorf("%s is of type %#x", name, got)
				}
			}
			for name, iv := range map[string]*c11.Guarded{"client IV": ivc, "server IV": ivs} {
				if !bytes.Equal(iv.Bytes(16), want[name]) || !iv.Untouched(16) {
					c.t.Errorf("%s is %x, want %x", name, iv.Bytes(16), want[name])
				}
			}
			ct, rv := c.Single(c.Arena, c.Encryption(), c.s, c11.Mech{Type: ck.CKM_AES_ECB}, c11.Number(unsafe.Add(out, 16)), sequence(16))
			c.ok("C_Encrypt with the client's key", rv)
			b, _ := aes.NewCipher(want["client key"])
			sealed := make([]byte, 16)
			if b.Encrypt(sealed, sequence(16)); !bytes.Equal(ct, sealed) {
				c.t.Error("the key encrypts in another way")
			}
		})
	}
	c.sub("refusals", func(c *client) {
		before := len(c.find(c.s))
		out := c.Exact(c11.Words(0, 0, 0, 0, 0, 0)) // no place for the IVs
		param := c11.Words(160, 128, 128, 0, c.Ptr(clientRandom), 32, c.Ptr(serverRandom), 32, uint64(uintptr(out)), uint64(ck.CKM_SHA256))
		c.refuses(ck.CKR_MECHANISM_PARAM_INVALID, "C_DeriveKey", c.s, c.Mechanism(ck.CKM_TLS12_KEY_AND_MAC_DERIVE, param), base, c.Template(keys...), len(keys), nil)
		param = c11.Words(160, 128, 0, 0, c.Ptr(clientRandom), 32, c.Ptr(serverRandom), 32, 0, uint64(ck.CKM_SHA256))
		c.refuses(ck.CKR_MECHANISM_PARAM_INVALID, "C_DeriveKey", c.s, c.Mechanism(ck.CKM_TLS12_KEY_AND_MAC_DERIVE, param), base, c.Template(keys...), len(keys), nil)
		if after := len(c.find(c.s)); after != before {
			c.t.Errorf("%d objects were left behind", after-before)
		}
	})
}

// TestTLSPRF has its result in the parameter (section 6.40.10 of 3.2).
func TestTLSPRF(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	key, label, seed := sequence(48), []byte("a label"), sequence(20)
	base := c.object(secret(ck.CKK_GENERIC_SECRET, key)...)
	full := append(bytes.Clone(label), seed...)
	for _, n := range []int{1, 12, 16, 20, 100} {
		want := pHash(md5.New, key[:24], full, n)
		for i, b := range pHash(sha1.New, key[24:], full, n) {
			want[i] ^= b
		}
		out, size := c.Guarded(n), c.ULong(uint64(n))
		param := c11.Words(c.Ptr(seed), uint64(len(seed)), c.Ptr(label), uint64(len(label)), uint64(uintptr(out.Ptr())), uint64(uintptr(size)))
		c.must("C_DeriveKey", c.s, c.Mechanism(ck.CKM_TLS_PRF, param), base, nil, 0, nil)
		if !bytes.Equal(out.Bytes(n), want) || !out.Untouched(n) || c11.Number(size) != uint64(n) {
			t.Errorf("%d bytes: %x, want %x", n, out.Bytes(n), want)
		}
	}
	param := c11.Words(c.Ptr(seed), uint64(len(seed)), c.Ptr(label), uint64(len(label)), 0, 0)
	c.refuses(ck.CKR_MECHANISM_PARAM_INVALID, "C_DeriveKey", c.s, c.Mechanism(ck.CKM_TLS_PRF, param), base, nil, 0, nil)
}

// TestAdditionalKeys derives several keys at once (section 6.42.6 of 3.2).
func TestAdditionalKeys(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	key, label := sequence(32), []byte("fixed input")
	base := c.object(secret(ck.CKK_GENERIC_SECRET, key)...)
	var all []byte
	for i := range uint32(4) {
		m := hmac.New(sha256.New, key)
		m.Write(binary.BigEndian.AppendUint32(nil, i+1))
		m.Write(label)
		all = m.Sum(all)
	}
	template := func(k ck.KeyType, n int) []ck.Attribute {
		return append(no(ck.CKA_SENSITIVE, ck.CKA_TOKEN), class(ck.CKO_SECRET_KEY), keyType(k), ulong(ck.CKA_VALUE_LEN, uint64(n)), boolean(ck.CKA_EXTRACTABLE, true))
	}
	parameter := func(more ...[]byte) []byte {
		counter := c.Ptr(c11.Words(0, 32))
		data := c.Ptr(append(c11.Words(ck.CK_SP800_108_ITERATION_VARIABLE, counter, 16), c11.Words(ck.CK_SP800_108_BYTE_ARRAY, c.Ptr(label), uint64(len(label)))...))
		return c11.Words(uint64(ck.CKM_SHA256_HMAC), 2, data, uint64(len(more)), c.Ptr(bytes.Join(more, nil)))
	}
	one, two := c.ULong(0), c.ULong(0)
	derivedKey := func(t []ck.Attribute, h unsafe.Pointer) []byte {
		return c11.Words(uint64(uintptr(c.Template(t...))), uint64(len(t)), uint64(uintptr(h)))
	}
	param := parameter(derivedKey(template(ck.CKK_AES, 32), one), derivedKey(template(ck.CKK_GENERIC_SECRET, 33), two))
	first, rv := c.derive(c.Mechanism(ck.CKM_SP800_108_COUNTER_KDF, param), base, template(ck.CKK_AES, 16)...)
	c.ok("C_DeriveKey", rv)
	for _, k := range []struct {
		o        uint64
		from, to int
	}{{first, 0, 16}, {c11.Number(one), 32, 64}, {c11.Number(two), 64, 97}} { // no key shares a segment with another
		if got := c.get(k.o, ck.CKA_VALUE); !bytes.Equal(got, all[k.from:k.to]) {
			t.Errorf("bytes %d to %d: %x, want %x", k.from, k.to, got, all[k.from:k.to])
		}
	}
	// One template that is wrong, and no key is made. Its handle tells which.
	before := len(c.find(c.s))
	two = c.ULong(12345)
	bad := template(ck.CKK_AES, 17)
	param = parameter(derivedKey(template(ck.CKK_AES, 32), one), derivedKey(bad, two))
	_, rv = c.derive(c.Mechanism(ck.CKM_SP800_108_COUNTER_KDF, param), base, template(ck.CKK_AES, 16)...)
	if rv == ck.CKR_OK {
		t.Error("an AES key of 17 bytes was derived")
	}
	if c11.Number(two) != 0 {
		t.Errorf("the handle of the key that could not be made is %d", c11.Number(two))
	}
	if after := len(c.find(c.s)); after != before {
		t.Errorf("%d objects were left behind", after-before)
	}
}

// TestDomainParameters generates those of DSA, and keys with them.
func TestDomainParameters(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	for _, row := range []struct {
		name   string
		m      ck.MechanismType
		p, q   uint64
		report int
	}{{"1024", ck.CKM_DSA_PARAMETER_GEN, 1024, 0, 160}, {"2048 and 256", ck.CKM_DSA_PARAMETER_GEN, 2048, 256, 256}} {
		c.sub(row.name, func(c *client) {
			template := []ck.Attribute{ulong(ck.CKA_PRIME_BITS, row.p), boolean(ck.CKA_TOKEN, false)}
			if row.q != 0 {
				template = append(template, ulong(ck.CKA_SUBPRIME_BITS, row.q))
			}
			o := c.generate(row.m, template...)
			if got := c.getULong(o, ck.CKA_CLASS); got != uint64(ck.CKO_DOMAIN_PARAMETERS) {
				c.t.Errorf("an object of class %#x", got)
			}
			number := func(t ck.AttributeType) *big.Int { return new(big.Int).SetBytes(c.get(o, t)) }
			d := dsa.Parameters{P: number(ck.CKA_PRIME), Q: number(ck.CKA_SUBPRIME), G: number(ck.CKA_BASE)}
			p1 := new(big.Int).Sub(d.P, big.NewInt(1))
			if d.P.BitLen() != int(row.p) || d.Q.BitLen() != row.report || !d.P.ProbablyPrime(10) || !d.Q.ProbablyPrime(10) ||
				new(big.Int).Mod(p1, d.Q).Sign() != 0 || d.G.Cmp(big.NewInt(1)) <= 0 || new(big.Int).Exp(d.G, d.Q, d.P).Cmp(big.NewInt(1)) != 0 {
				c.t.Fatalf("these are no parameters of DSA: %v", d)
			}
			public := with(yes(ck.CKA_VERIFY), bytesOf(ck.CKA_PRIME, d.P.Bytes()), bytesOf(ck.CKA_SUBPRIME, d.Q.Bytes()), bytesOf(ck.CKA_BASE, d.G.Bytes()))
			pub, priv := c.pair(ck.CKM_DSA_KEY_PAIR_GEN, public, yes(ck.CKA_SIGN))
			digest := sequence(20)
			sig, rv := c.Single(c.Arena, c.Signing(), c.s, c11.Mech{Type: ck.CKM_DSA}, priv, digest)
			if c.ok("C_Sign", rv); len(sig) != 2*row.report/8 {
				c.t.Fatalf("a signature of %d bytes", len(sig))
			}
			r, s := new(big.Int).SetBytes(sig[:len(sig)/2]), new(big.Int).SetBytes(sig[len(sig)/2:])
			if !dsa.Verify(&dsa.PublicKey{Parameters: d, Y: new(big.Int).SetBytes(c.get(pub, ck.CKA_VALUE))}, digest, r, s) {
				c.t.Error("another program does not verify the signature")
			}
		})
	}
	h := c.ULong(0)
	c.refuses(ck.CKR_TEMPLATE_INCOMPLETE, "C_GenerateKey", c.s, c.Mechanism(ck.CKM_DSA_PARAMETER_GEN, nil), c.Template(boolean(ck.CKA_TOKEN, false)), 1, h)
}

// TestGeneratedIV leaves the IV of AES-GCM to the token, which puts it behind
// the tag.
func TestGeneratedIV(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	key, aad, msg := sequence(32), sequence(9), sequence(50)
	o := c.object(secret(ck.CKK_AES, key)...)
	mech := c11.Mech{Type: ck.CKM_AES_GCM, Param: c11.Words(0, 0, 0, c.Ptr(aad), uint64(len(aad)), 128)}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithNonceSize(block, 16)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i, encrypt := range []func() ([]byte, ck.RV){
		func() ([]byte, ck.RV) { return c.Single(c.Arena, c.Encryption(), c.s, mech, o, msg) },
		func() ([]byte, ck.RV) { return c.Parts(c.Arena, c.Encryption(), c.s, mech, o, msg, 7) },
	} {
		out, rv := encrypt()
		if c.ok("C_Encrypt", rv); len(out) != len(msg)+16+16 {
			t.Fatalf("%d bytes", len(out))
		}
		sealed, iv := out[:len(msg)+16], out[len(msg)+16:]
		if seen[string(iv)] {
			t.Error("the same IV twice")
		}
		seen[string(iv)] = true
		if got, err := gcm.Open(nil, iv, sealed, aad); err != nil || !bytes.Equal(got, msg) {
			t.Errorf("case %d: another program does not decrypt it: %v", i, err)
		}
		for _, size := range []int{1, 5, 16, 100} {
			got, rv := c.Parts(c.Arena, c.Decryption(), c.s, mech, o, out, size)
			if c.ok("C_Decrypt in parts", rv); !bytes.Equal(got, msg) {
				t.Errorf("in parts of %d: %x", size, got)
			}
		}
		got, rv := c.Single(c.Arena, c.Decryption(), c.s, mech, o, out)
		if c.ok("C_Decrypt", rv); !bytes.Equal(got, msg) {
			t.Errorf("decrypted: %x", got)
		}
		out[len(out)-1] ^= 1
		_, rv = c.Single(c.Arena, c.Decryption(), c.s, mech, o, out)
		c.want("another IV", rv, ck.CKR_ENCRYPTED_DATA_INVALID, ck.CKR_AEAD_DECRYPT_FAILED)
		c.Call("C_DecryptInit", c.s, nil, 0)
	}
}

// pkcs12 makes key material of a password (RFC 7292, appendix B.2) with SHA-1.
func pkcs12(id byte, password, salt []byte, iterations, n int) (out []byte) {
	const v = 64
	fill := func(b []byte) []byte {
		var f []byte
		for len(b) > 0 && len(f) < (len(b)+v-1)/v*v {
			f = append(f, b[:min(len(b), (len(b)+v-1)/v*v-len(f))]...)
		}
		return f
	}
	i := append(fill(salt), fill(password)...)
	for len(out) < n {
		a := sha1.Sum(append(bytes.Repeat([]byte{id}, v), i...))
		for range iterations - 1 {
			a = sha1.Sum(a[:])
		}
		out = append(out, a[:]...)
		b := new(big.Int).Add(new(big.Int).SetBytes(fill(a[:])), big.NewInt(1))
		for j := 0; j < len(i); j += v {
			sum := new(big.Int).Add(new(big.Int).SetBytes(i[j:j+v]), b)
			sum.Mod(sum, new(big.Int).Lsh(big.NewInt(1), 8*v)).FillBytes(i[j : j+v])
		}
	}
	return out[:n]
}

// TestPBE generates keys from passwords, with the IV written back (section
// 6.45 of 3.2).
func TestPBE(t *testing.T) {
	if !apart(t) {
		return
	}
	c := open(t)
	// CK_PBE_PARAMS has the password in UTF-8, PKCS #12 computes with UTF-16.
	password, utf16 := []byte("pass"), []byte{0, 'p', 0, 'a', 0, 's', 0, 's', 0, 0}
	salt := sequence(8)
	generate := func(c *client, m ck.MechanismType, password []byte) (value, iv []byte) {
		place := c.Guarded(8)
		param := c11.Words(uint64(uintptr(place.Ptr())), c.Ptr(password), uint64(len(password)), c.Ptr(salt), uint64(len(salt)), 1000)
		h := c.ULong(0)
		template := append(no(ck.CKA_SENSITIVE, ck.CKA_TOKEN), boolean(ck.CKA_EXTRACTABLE, true))
		c.must("C_GenerateKey", c.s, c.Mechanism(m, param), c.Template(template...), len(template), h)
		if !place.Untouched(8) {
			c.t.Error("bytes beyond the IV were written")
		}
		return c.get(c11.Number(h), ck.CKA_VALUE), place.Bytes(8)
	}
	check := func(c *client, what string, got, want []byte) {
		if !bytes.Equal(got, want) {
			c.t.Errorf("%s is %x, want %x", what, got, want)
		}
	}
	c.sub("CKM_PBE_SHA1_DES3_EDE_CBC", func(c *client) {
		value, iv := generate(c, ck.CKM_PBE_SHA1_DES3_EDE_CBC, password)
		check(c, "the key", value, oddParity(pkcs12(1, utf16, salt, 1000, 24)))
		check(c, "the IV", iv, pkcs12(2, utf16, salt, 1000, 8))
	})
	c.sub("CKM_PBE_MD5_DES_CBC", func(c *client) { // PBKDF1, RFC 8018 section 5.1
		value, iv := generate(c, ck.CKM_PBE_MD5_DES_CBC, []byte("password"))
		d := md5.Sum(append([]byte("password"), salt...))
		for range 999 {
			d = md5.Sum(d[:])
		}
		check(c, "the key", value, oddParity(d[:8]))
		check(c, "the IV", iv, d[8:])
	})
}

package engine

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// TestGCMMessages checks the vectors of GCM with the tag in the parameter, and
// in parts with a parameter of its own for the last one.
func TestGCMMessages(t *testing.T) {
	for _, v := range gcmVectors {
		for _, size := range partSizes {
			k := aesKey(v.key)
			mo := must(aesFamily.newGCMMessages(k, false))
			first := &GCMMessageParams{IV: unhex(v.iv), Tag: make([]byte, 16), TagBits: 128}
			last := &GCMMessageParams{Tag: make([]byte, 16), TagBits: 128}
			op, err := mo.Begin(first, unhex(v.aad))
			if err != nil {
				t.Fatal(err)
			}
			if err := op.(MessageStep).Param(last); err != nil {
				t.Fatal(err)
			}
			got, err := runParts(op, nil, unhex(v.plain), size, true)
			if err != nil || hex.EncodeToString(got) != v.cipher || hex.EncodeToString(last.Tag) != v.code {
				t.Errorf("case %d: %x, %x, %v", v.number, got, last.Tag, err)
			}

			mo = must(aesFamily.newGCMMessages(k, true))
			op, err = mo.Begin(&GCMMessageParams{IV: unhex(v.iv), Tag: make([]byte, 16), TagBits: 128}, unhex(v.aad))
			if err != nil {
				t.Fatal(err)
			}
			if err := op.(MessageStep).Param(last); err != nil {
				t.Fatal(err)
			}
			got, err = runParts(op, nil, unhex(v.cipher), size, true)
			if err != nil || hex.EncodeToString(got) != v.plain {
				t.Errorf("case %d: %x, %v", v.number, got, err)
			}
		}
	}
}

func TestGCMMessageErrors(t *testing.T) {
	k := aesKey(gcmKey128)
	enc, dec := must(aesFamily.newGCMMessages(k, false)), must(aesFamily.newGCMMessages(k, true))
	for _, p := range []any{
		nil, (*GCMMessageParams)(nil), &GCMParams{IV: pattern(12), TagBits: 128},
		&GCMMessageParams{Tag: make([]byte, 16), TagBits: 128},
		&GCMMessageParams{IV: pattern(12), TagBits: 128},
		&GCMMessageParams{IV: pattern(12), Tag: make([]byte, 15), TagBits: 128},
		&GCMMessageParams{IV: pattern(12), Tag: make([]byte, 16), TagBits: 1 << 40},
	} {
		wantError(t, beginError(enc.Begin(p, nil)), ck.CKR_MECHANISM_PARAM_INVALID)
		wantError(t, beginError(dec.Begin(p, nil)), ck.CKR_MECHANISM_PARAM_INVALID)
	}
	p := &GCMMessageParams{IV: pattern(12), Tag: make([]byte, 8), TagBits: 64}
	op, err := enc.Begin(p, nil)
	sealed, err := runOp(op, err, pattern(20))
	if err != nil {
		t.Fatal(err)
	}
	p.Tag[0] ^= 1
	op, err = dec.Begin(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 20)
	_, err = op.Finish(dst, sealed)
	wantError(t, err, ck.CKR_AEAD_DECRYPT_FAILED)
	if !bytes.Equal(dst, make([]byte, 20)) {
		t.Error("plaintext is left behind")
	}
	op, err = dec.Begin(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, op.(MessageStep).Param(&GCMMessageParams{Tag: make([]byte, 16), TagBits: 128}), ck.CKR_MECHANISM_PARAM_INVALID)
	wantError(t, op.(MessageStep).Param(nil), ck.CKR_MECHANISM_PARAM_INVALID)
}

// TestCCMMessages: example 2 of NIST SP 800-38C, appendix C.
func TestCCMMessages(t *testing.T) {
	k := aesKey("404142434445464748494a4b4c4d4e4f")
	nonce, aad := unhex("1011121314151617"), unhex("000102030405060708090a0b0c0d0e0f")
	plain, cipher, code := unhex("202122232425262728292a2b2c2d2e2f"), unhex("d2a1f0e051ea5f62081a7792073d593d"), unhex("1fc64fbfaccd")
	for _, size := range partSizes {
		p := &CCMMessageParams{DataLen: 16, Nonce: bytes.Clone(nonce), MAC: make([]byte, 6)}
		last := &CCMMessageParams{MAC: make([]byte, 6)}
		op, err := must(aesFamily.newCCMMessages(k, false)).Begin(p, aad)
		if err != nil {
			t.Fatal(err)
		}
		if err := op.(MessageStep).Param(last); err != nil {
			t.Fatal(err)
		}
		got, err := runParts(op, nil, plain, size, true)
		if err != nil || !bytes.Equal(got, cipher) || !bytes.Equal(last.MAC, code) {
			t.Errorf("%x, %x, %v", got, last.MAC, err)
		}
		p.MAC = last.MAC
		op, err = must(aesFamily.newCCMMessages(k, true)).Begin(p, aad)
		got, err = runParts(op, err, cipher, size, true)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%x, %v", got, err)
		}
		bad := *p
		bad.MAC = bytes.Repeat([]byte{1}, 6)
		op, err = must(aesFamily.newCCMMessages(k, true)).Begin(&bad, aad)
		_, err = runParts(op, err, cipher, size, true)
		wantError(t, err, ck.CKR_AEAD_DECRYPT_FAILED)
		op, err = must(aesFamily.newCCMMessages(k, true)).Begin(p, aad)
		_, err = runParts(op, err, cipher[1:], size, true)
		wantError(t, err, ck.CKR_ENCRYPTED_DATA_LEN_RANGE)
		op, err = must(aesFamily.newCCMMessages(k, false)).Begin(p, aad)
		_, err = runParts(op, err, pattern(17), size, true)
		wantError(t, err, ck.CKR_DATA_LEN_RANGE)
	}
	for _, p := range []any{
		nil,
		&CCMMessageParams{Nonce: pattern(6), MAC: make([]byte, 16)},
		&CCMMessageParams{Nonce: pattern(12), MAC: make([]byte, 5)},
		&CCMMessageParams{Nonce: pattern(12)},
		&CCMMessageParams{DataLen: 1 << 24, Nonce: pattern(12), MAC: make([]byte, 16)},
	} {
		wantError(t, beginError(must(aesFamily.newCCMMessages(k, false)).Begin(p, nil)), ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

// TestIVGenerators checks the generators of PKCS#11 v3.1 section 6.13.2.
func TestIVGenerators(t *testing.T) {
	ivs := func(how ck.GeneratorFunction, start string, fixed uint64, n int) (list []string) {
		var g ivGenerator
		for range n {
			iv := unhex(start)
			if err := g.next(iv, fixed, how); err != nil {
				t.Fatal(err)
			}
			list = append(list, hex.EncodeToString(iv))
		}
		return list
	}
	check := func(got []string, want ...string) {
		t.Helper()
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("IV %d = %s, want %s", i, got[i], want[i])
			}
		}
	}
	const base = "ffeeddccbbaa998877665544"
	check(ivs(ck.CKG_NO_GENERATE, base, 0, 2), base, base)
	check(ivs(ck.CKG_GENERATE_COUNTER, base, 32, 3),
		"ffeeddcc0000000000000000", "ffeeddcc0000000000000001", "ffeeddcc0000000000000002")
	check(ivs(ck.CKG_GENERATE_COUNTER, base, 36, 2), "ffeeddccb000000000000000", "ffeeddccb000000000000001")
	check(ivs(ck.CKG_GENERATE_COUNTER, base, 95, 2), "ffeeddccbbaa998877665544", "ffeeddccbbaa998877665545")
	check(ivs(ck.CKG_GENERATE_COUNTER_XOR, base, 32, 3), base, "ffeeddccbbaa998877665545", "ffeeddccbbaa998877665546")

	// A caller that passes back what it got has the same sequence.
	var g ivGenerator
	iv := unhex(base)
	for i, want := range []string{base, "ffeeddccbbaa998877665545", "ffeeddccbbaa998877665546", "ffeeddccbbaa998877665547"} {
		if err := g.next(iv, 0, ck.CKG_GENERATE_COUNTER_XOR); err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(iv) != want {
			t.Errorf("IV %d = %x, want %s", i, iv, want)
		}
	}
	wantError(t, g.next(unhex("00eeddccbbaa998877665544"), 0, ck.CKG_GENERATE_COUNTER_XOR), ck.CKR_MECHANISM_PARAM_INVALID)

	for _, how := range []ck.GeneratorFunction{ck.CKG_GENERATE, ck.CKG_GENERATE_RANDOM} {
		seen := map[string]bool{}
		for _, iv := range ivs(how, base, 28, 100) {
			if iv[:7] != base[:7] || seen[iv] {
				t.Errorf("IV %s", iv)
			}
			seen[iv] = true
		}
		wantError(t, new(ivGenerator).next(unhex(base), 33, how), ck.CKR_MECHANISM_PARAM_INVALID)
		if err := new(ivGenerator).next(pattern(7), 0, how); err != nil {
			t.Error(err)
		}
	}
}

func TestIVGeneratorErrors(t *testing.T) {
	// A counter is used up, and does not come round.
	for _, how := range []ck.GeneratorFunction{ck.CKG_GENERATE_COUNTER, ck.CKG_GENERATE_COUNTER_XOR} {
		var g ivGenerator
		seen := map[string]bool{}
		for range 4 {
			iv := pattern(12)
			if err := g.next(iv, 94, how); err != nil {
				t.Fatal(err)
			}
			seen[string(iv)] = true
		}
		if len(seen) != 4 {
			t.Errorf("%d different IVs of 4", len(seen))
		}
		wantError(t, g.next(pattern(12), 94, how), ck.CKR_DATA_LEN_RANGE)
	}
	// The way of making them stays as it was.
	var g ivGenerator
	if err := g.next(pattern(12), 32, ck.CKG_GENERATE_COUNTER); err != nil {
		t.Fatal(err)
	}
	wantError(t, g.next(pattern(12), 32, ck.CKG_GENERATE_RANDOM), ck.CKR_MECHANISM_PARAM_INVALID)
	wantError(t, g.next(pattern(12), 24, ck.CKG_GENERATE_COUNTER), ck.CKR_MECHANISM_PARAM_INVALID)
	wantError(t, g.next(pattern(13), 32, ck.CKG_GENERATE_COUNTER), ck.CKR_MECHANISM_PARAM_INVALID)
	wantError(t, g.next(pattern(12), 32, ck.CKG_NO_GENERATE), ck.CKR_MECHANISM_PARAM_INVALID)

	for _, c := range []struct {
		iv    []byte
		fixed uint64
		how   ck.GeneratorFunction
	}{
		{nil, 0, ck.CKG_NO_GENERATE},
		{nil, 0, ck.CKG_GENERATE},
		{pattern(12), 97, ck.CKG_GENERATE_COUNTER},
		{pattern(12), 1 << 63, ck.CKG_GENERATE_COUNTER},
		{pattern(12), 0, 5},
		{pattern(12), 0, 1 << 60},
	} {
		wantError(t, new(ivGenerator).next(c.iv, c.fixed, c.how), ck.CKR_MECHANISM_PARAM_INVALID)
	}
}

// TestMessageIVs checks that the IV that was made is the one that was used.
func TestMessageIVs(t *testing.T) {
	k := aesKey(gcmKey128)
	enc, dec := must(aesFamily.newGCMMessages(k, false)), must(aesFamily.newGCMMessages(k, true))
	for range 3 {
		p := &GCMMessageParams{IV: make([]byte, 12), IVGenerator: ck.CKG_GENERATE, Tag: make([]byte, 16), TagBits: 128}
		op, err := enc.Begin(p, pattern(3))
		sealed, err := runOp(op, err, pattern(20))
		if err != nil {
			t.Fatal(err)
		}
		op, err = dec.Begin(p, pattern(3))
		plain, err := runOp(op, err, sealed)
		if err != nil || !bytes.Equal(plain, pattern(20)) {
			t.Errorf("%x, %v", plain, err)
		}
	}
}

package engine

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// runParts runs an Op over src cut into parts of size bytes, writing each
// result over the part that it came from if inPlace.
func runParts(op Op, err error, src []byte, size int, inPlace bool) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	var out []byte
	for len(src) > size {
		n := op.UpdateLen(size)
		buf := make([]byte, max(n, size))
		in := src[:size]
		if inPlace {
			in = buf[:copy(buf, in)]
		}
		wrote, err := op.Update(buf[:n], in)
		if err != nil {
			return nil, err
		}
		if wrote != n {
			return nil, fmt.Errorf("UpdateLen(%d) = %d, but Update wrote %d", size, n, wrote)
		}
		out = append(out, buf[:n]...)
		src = src[size:]
	}
	n, exact := op.FinishLen(len(src))
	buf := make([]byte, max(n, len(src)))
	if inPlace {
		src = buf[:copy(buf, src)]
	}
	wrote, err := op.Finish(buf[:n], src)
	if err != nil {
		return nil, err
	}
	if wrote > n || exact && wrote != n {
		return nil, fmt.Errorf("FinishLen(%d) = %d, %v, but Finish wrote %d", len(src), n, exact, wrote)
	}
	return append(out, buf[:wrote]...), nil
}

var partSizes = []int{1, 3, 15, 16, 17, 32, 100, 512, 513, 2000, 1 << 20}

// checkCipher checks a known answer in both directions, whole, in parts of any
// size, and in place.
func checkCipher(t *testing.T, m ck.MechanismType, k *Key, p any, plain, cipher []byte) {
	t.Helper()
	row := Find(m)
	for _, size := range partSizes {
		for _, inPlace := range []bool{false, true} {
			op, err := row.Encrypt(k, p)
			got, err := runParts(op, err, plain, size, inPlace)
			if err != nil || !bytes.Equal(got, cipher) {
				t.Errorf("%v, parts of %d, in place %v: %x, %v; want %x", m, size, inPlace, got, err, cipher)
			}
			op, err = row.Decrypt(k, p)
			got, err = runParts(op, err, cipher, size, inPlace)
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%v, decrypting, parts of %d, in place %v: %x, %v; want %x", m, size, inPlace, got, err, plain)
			}
		}
	}
}

// checkMAC checks a known answer, whole and in parts, and that a wrong code
// and codes of wrong length are refused.
func checkMAC(t *testing.T, m ck.MechanismType, k *Key, p any, message, code []byte) {
	t.Helper()
	row := Find(m)
	for _, size := range partSizes {
		op, err := row.Sign(k, p)
		got, err := runParts(op, err, message, size, false)
		if err != nil || !bytes.Equal(got, code) {
			t.Errorf("%v, parts of %d: %x, %v; want %x", m, size, got, err, code)
		}
		verify := func(code []byte) error {
			v, err := row.Verify(k, p)
			if err != nil {
				t.Fatal(err)
			}
			rest := message
			for ; len(rest) > size; rest = rest[size:] {
				if err := v.Update(rest[:size]); err != nil {
					t.Fatal(err)
				}
			}
			return v.Verify(rest, code)
		}
		if err := verify(code); err != nil {
			t.Errorf("%v, parts of %d: %v", m, size, err)
		}
		for i := range code {
			bad := bytes.Clone(code)
			bad[i] ^= 0x40
			wantError(t, verify(bad), ck.CKR_SIGNATURE_INVALID)
		}
		wantError(t, verify(code[:len(code)-1]), ck.CKR_SIGNATURE_LEN_RANGE)
		wantError(t, verify(append(bytes.Clone(code), 0)), ck.CKR_SIGNATURE_LEN_RANGE)
		wantError(t, verify(nil), ck.CKR_SIGNATURE_LEN_RANGE)
	}
}

func wantError(t *testing.T, err error, want ck.RV) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

// beginError is the error of starting an operation.
func beginError(_ Op, err error) error { return err }

// finishError is the error of doing it in one part.
func finishError(op Op, err error, src []byte) error {
	_, err = runOp(op, err, src)
	return err
}

func aesKey(hexKey string) *Key { return secretKey(ck.CKK_AES, unhex(hexKey)) }

// pattern is n bytes that do not repeat soon.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// TestSaveLoad carries the state of every operation that can be saved into a
// fresh one, at many points, and compares the outcome.
func TestSaveLoad(t *testing.T) {
	message := pattern(200)
	iv := pattern(16)
	aes, generic := secretKey(ck.CKK_AES, pattern(32)), secretKey(ck.CKK_GENERIC_SECRET, pattern(100))
	type begin func() (Op, error)
	cases := map[string]begin{}
	add := func(m ck.MechanismType, p any) {
		row := Find(m)
		k := aes
		if len(row.Keys) > 0 && row.Keys[0] != ck.CKK_AES {
			k = generic
		}
		if row.Encrypt != nil {
			cases[m.String()+" encrypt"] = func() (Op, error) { return row.Encrypt(k, p) }
			cases[m.String()+" decrypt"] = func() (Op, error) { return row.Decrypt(k, p) }
		}
		if row.Sign != nil {
			cases[m.String()] = func() (Op, error) { return row.Sign(k, p) }
		}
		if row.Digest != nil {
			cases[m.String()] = func() (Op, error) { return row.Digest(p) }
		}
	}
	add(ck.CKM_AES_ECB, nil)
	add(ck.CKM_AES_CBC, iv)
	add(ck.CKM_AES_CTR, &CTRParams{CounterBits: 128, CB: [16]byte(bytes.Repeat([]byte{0xff}, 16))})
	delete(cases, "CKM_AES_CTR decrypt")
	cases["CKM_AES_CTR encrypt"] = func() (Op, error) {
		return aesFamily.newCTR(aes, &CTRParams{CounterBits: 72, CB: [16]byte(unhex("0000000000000000fffffffffffffffe"))})
	}
	for _, m := range []ck.MechanismType{ck.CKM_AES_OFB, ck.CKM_AES_CFB1, ck.CKM_AES_CFB8, ck.CKM_AES_CFB64, ck.CKM_AES_CFB128} {
		add(m, iv)
	}
	des := secretKey(ck.CKK_DES3, pattern(24))
	cases["CKM_DES3_CTR"] = func() (Op, error) {
		return Find(ck.CKM_DES3_CTR).Encrypt(des, &DESCTRParams{64, [8]byte(unhex("00000000fffffffe"))})
	}
	cases["CKM_DES3_X919_MAC"] = func() (Op, error) { return Find(ck.CKM_DES3_X919_MAC).Sign(des, nil) }
	add(ck.CKM_AES_MAC, nil)
	add(ck.CKM_AES_CMAC, nil)
	add(ck.CKM_AES_CMAC_GENERAL, uint64(5))
	for _, f := range hashFamilies {
		add(f.digest, nil)
		if !f.keyed {
			add(f.hmac, nil)
			add(f.general, uint64(9))
		}
	}
	add(ck.CKM_SSL3_MD5_MAC, uint64(16))
	add(ck.CKM_SSL3_SHA1_MAC, uint64(5))
	add(ck.CKM_KMAC_128, nil)
	add(ck.CKM_KMAC_256, &KMACParams{Customization: iv, MACLen: 200})
	add(ck.CKM_SHAKE_128, uint64(200))
	add(ck.CKM_SHAKE_256, nil)
	cases["CKM_AES_CBC_PAD encrypt"] = func() (Op, error) { return Find(ck.CKM_AES_CBC_PAD).Encrypt(aes, iv) }
	for name, begin := range cases {
		// Whole blocks for those that need them, and the plain run.
		message := message
		if name == "CKM_AES_ECB encrypt" || name == "CKM_AES_ECB decrypt" ||
			name == "CKM_AES_CBC encrypt" || name == "CKM_AES_CBC decrypt" {
			message = message[:192]
		}
		op, err := begin()
		want, err := runOp(op, err, message)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for cut := 0; cut <= len(message); cut += 5 {
			got, err := carried(begin, message, cut)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, saved after %d: %x, %v; want %x", name, cut, got, err, want)
			}
		}
		for _, junk := range [][]byte{nil, {1}, make([]byte, 1000)} {
			op, err := begin()
			if err != nil {
				t.Fatal(err)
			}
			wantError(t, op.(Saver).Load(junk), ck.CKR_SAVED_STATE_INVALID)
		}
	}
	// The one that holds back a block.
	row := Find(ck.CKM_AES_CBC_PAD)
	op, err := row.Encrypt(aes, iv)
	sealed, err := runOp(op, err, message)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut <= len(sealed); cut++ {
		got, err := carried(func() (Op, error) { return row.Decrypt(aes, iv) }, sealed, cut)
		if err != nil || !bytes.Equal(got, message) {
			t.Errorf("CKM_AES_CBC_PAD decrypt, saved after %d: %x, %v", cut, got, err)
		}
	}
}

// carried runs an operation over the message, carried into a fresh one after
// cut bytes.
func carried(begin func() (Op, error), message []byte, cut int) ([]byte, error) {
	one, err := begin()
	if err != nil {
		return nil, err
	}
	out := make([]byte, one.UpdateLen(cut))
	if _, err := one.Update(out, message[:cut]); err != nil {
		return nil, err
	}
	state, err := one.(Saver).Save()
	if err != nil {
		return nil, err
	}
	two, err := begin()
	if err != nil {
		return nil, err
	}
	if err := two.(Saver).Load(state); err != nil {
		return nil, err
	}
	rest, err := runOp(two, nil, message[cut:])
	return append(out, rest...), err
}

// TestUnsaveable checks that operations without a state to save say so.
func TestUnsaveable(t *testing.T) {
	op, err := Find(ck.CKM_AES_GMAC).Sign(secretKey(ck.CKK_AES, pattern(16)), &GMACParams{GCMParams{IV: pattern(12), TagBits: 128}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = op.(Saver).Save()
	wantError(t, err, ck.CKR_STATE_UNSAVEABLE)
}

// TestConcurrent uses one key for everything at once; for the race detector.
func TestConcurrent(t *testing.T) {
	k := secretKey(ck.CKK_AES, pattern(16))
	g := secretKey(ck.CKK_GENERIC_SECRET, pattern(40))
	gcm := &GCMParams{IV: pattern(12), TagBits: 128}
	short := &GCMParams{IV: pattern(12), TagBits: 64}
	message := pattern(3000)
	var wg sync.WaitGroup
	outs := make([]string, 8)
	for i := range outs {
		wg.Go(func() {
			for _, run := range []func() (Op, error){
				func() (Op, error) { return Find(ck.CKM_AES_GCM).Encrypt(k, gcm) },
				func() (Op, error) { return Find(ck.CKM_AES_GCM).Encrypt(k, short) },
				func() (Op, error) { return Find(ck.CKM_AES_CMAC).Sign(k, nil) },
				func() (Op, error) { return Find(ck.CKM_AES_CBC_PAD).Encrypt(k, pattern(16)) },
				func() (Op, error) { return Find(ck.CKM_SHA256_HMAC).Sign(g, nil) },
				func() (Op, error) { return Find(ck.CKM_SHA3_512_HMAC).Sign(g, nil) },
			} {
				op, err := run()
				out, err := runOp(op, err, message)
				if err != nil {
					t.Error(err)
				}
				outs[i] += hex.EncodeToString(out)
			}
		})
	}
	wg.Wait()
	for _, out := range outs {
		if out != outs[0] {
			t.Error("different results")
		}
	}
}

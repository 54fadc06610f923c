package hsm

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// limitedKey makes an HMAC key that signs so often.
func limitedKey(b *bench, limit uint64, pairs ...any) ck.ObjectHandle {
	b.t.Helper()
	return ok(b, &p11.GenerateKey{Session: b.s, Mechanism: &ck.Mechanism{Type: ck.CKM_GENERIC_SECRET_KEY_GEN},
		Template: append(tmpl(ck.CKA_VALUE_LEN, 32, ck.CKA_SIGN, true, ck.CKA_USAGE_LIMIT, limit), tmpl(pairs...)...)}).Object
}

var hmacSHA256 = &ck.Mechanism{Type: ck.CKM_SHA256_HMAC}

func (b *bench) uses(key ck.ObjectHandle) uint64 {
	b.t.Helper()
	v, _ := ck.ULong(b.attr(key, ck.CKA_USAGE_COUNT))
	return v
}

// A key with a limit works so often, whoever asks, and then no more, until the
// officer raises the limit or sets the count.
func TestUsageLimit(t *testing.T) {
	for _, token := range []bool{false, true} {
		b := newBench(t)
		key := limitedKey(b, 3, ck.CKA_TOKEN, token)
		if n := b.uses(key); n != 0 {
			t.Errorf("a new key was used %d times", n)
		}
		sign := &p11.Begin{Session: b.s, Op: p11.OpSign, Mechanism: hmacSHA256, Key: key}
		for range 3 {
			b.whole(p11.OpSign, hmacSHA256, key, []byte("message"))
		}
		fails(b, ck.CKR_KEY_NOT_ACTIVE, sign)
		if e := ok(b, &p11.ExplainRefusal{Session: b.s}); e.Rule != "usage-limit" || e.Attribute != "CKA_USAGE_LIMIT" {
			t.Errorf("explained by %+v", e)
		}
		if n := b.uses(key); n != 3 {
			t.Errorf("used %d times, want 3", n)
		}
		fails(b, ck.CKR_ATTRIBUTE_READ_ONLY, &p11.SetAttributeValue{Session: b.s, Object: key, Template: tmpl(ck.CKA_USAGE_COUNT, 0)})

		ok(b, &p11.SetAttributeValue{Session: b.s, Object: key, Template: tmpl(ck.CKA_USAGE_LIMIT, 4)})
		b.whole(p11.OpSign, hmacSHA256, key, []byte("message"))
		fails(b, ck.CKR_KEY_NOT_ACTIVE, sign)
		ok(b, &p11.ModifyUsageCount{Session: b.s, Key: key, Set: true, Value: 2})
		ok(b, &p11.ModifyUsageCount{Session: b.s, Key: key, Value: 1})
		b.whole(p11.OpSign, hmacSHA256, key, []byte("message"))
		fails(b, ck.CKR_KEY_NOT_ACTIVE, sign)
		ok(b, &p11.SetAttributeValue{Session: b.s, Object: key, Template: tmpl(ck.CKA_USAGE_LIMIT, 0)})
		b.whole(p11.OpSign, hmacSHA256, key, []byte("without a limit"))
	}
}

// Keys without a limit are not counted, and have no count.
func TestUsageWithoutLimit(t *testing.T) {
	b := newBench(t)
	key := b.hmac(ck.NewBool(ck.CKA_SIGN, true))
	fails(b, ck.CKR_ATTRIBUTE_TYPE_INVALID, &p11.ModifyUsageCount{Session: b.s, Key: key, Value: 1})
	fails(b, ck.CKR_ATTRIBUTE_TYPE_INVALID, &p11.GetAttributeValue{Session: b.s, Object: key, Types: []ck.AttributeType{ck.CKA_USAGE_COUNT}})
	fails(b, ck.CKR_ATTRIBUTE_READ_ONLY, &p11.GenerateKey{Session: b.s, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_GEN},
		Template: tmpl(ck.CKA_VALUE_LEN, 16, ck.CKA_USAGE_COUNT, 0)})
}

// Wrapping, unwrapping and deriving are uses too; asking for a length is none.
func TestUsageOfKeyFunctions(t *testing.T) {
	b := newBench(t)
	key := ok(b, &p11.GenerateKey{Session: b.s, Mechanism: &ck.Mechanism{Type: ck.CKM_AES_KEY_GEN},
		Template: tmpl(ck.CKA_VALUE_LEN, 16, ck.CKA_DERIVE, true, ck.CKA_EXTRACTABLE, true, ck.CKA_USAGE_LIMIT, 3)}).Object
	m := &ck.Mechanism{Type: ck.CKM_AES_KEY_WRAP}
	wrap := &p11.WrapKey{Session: b.s, Mechanism: m, WrappingKey: key, Key: key, Out: p11.Output{Query: true}}
	ok(b, wrap)
	if n := b.uses(key); n != 0 {
		t.Errorf("asking for a length counted as %d uses", n)
	}
	wrap.Out = p11.Output{Buf: make([]byte, 24)}
	ok(b, wrap)
	b.unwrap(m, key, wrap.Out.Buf, tmpl(ck.CKA_CLASS, ck.CKO_SECRET_KEY, ck.CKA_KEY_TYPE, ck.CKK_AES)...)
	derive := b.derive(&ck.Mechanism{Type: ck.CKM_SHA256_KEY_DERIVATION}, key)
	ok(b, derive)
	fails(b, ck.CKR_KEY_NOT_ACTIVE, derive)
	fails(b, ck.CKR_KEY_NOT_ACTIVE, wrap)
}

// The count is one for all processes, and no use is lost in a race for the last.
func TestUsageLimitOverProcesses(t *testing.T) {
	const limit, each = 10, 8
	host := newTestHost()
	first := host.process(t)
	initPartition(t, first, 0)
	b := &bench{t: t, h: first, s: open(t, first, 0, true)}
	login(t, first, b.s)
	key := limitedKey(b, limit, ck.CKA_TOKEN, true)

	var signed atomic.Int32
	var wg sync.WaitGroup
	for range 3 {
		h := host.process(t)
		s := open(t, h, 0, false)
		login(t, h, s)
		wg.Go(func() {
			for range each {
				_, err := p11.Call(t.Context(), h, &p11.Begin{Session: s, Op: p11.OpSign, Mechanism: hmacSHA256, Key: key})
				switch ck.RVOf(err) {
				case ck.CKR_OK:
					signed.Add(1)
					if _, err := p11.Call(t.Context(), h, &p11.Begin{Session: s, Op: p11.OpSign}); err != nil { // cancels it
						t.Error(err)
					}
				case ck.CKR_KEY_NOT_ACTIVE:
				default:
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if signed.Load() != limit || b.uses(key) != limit {
		t.Errorf("%d uses were allowed and %d counted, want %d", signed.Load(), b.uses(key), limit)
	}
}

// The keys of a pair have the fingerprints of their public key, by which they
// are found; secret keys have none.
func TestFingerprints(t *testing.T) {
	b := newBench(t)
	pair := b.rsaPair(ck.NewBool(ck.CKA_TOKEN, true))
	info := b.attr(pair.Public, ck.CKA_PUBLIC_KEY_INFO)
	sum1, sum256 := sha1.Sum(info), sha256.Sum256(info)
	for _, key := range []ck.ObjectHandle{pair.Public, pair.Private} {
		if !bytes.Equal(b.attr(key, ck.CKA_FINGERPRINT_SHA1), sum1[:]) || !bytes.Equal(b.attr(key, ck.CKA_FINGERPRINT_SHA256), sum256[:]) {
			t.Error("the fingerprints are not those of the public key")
		}
	}
	found := find(t, b.h, b.s, ck.CKA_FINGERPRINT_SHA256, string(sum256[:]))
	if len(found) != 2 {
		t.Errorf("found %d objects by their fingerprint, want 2", len(found))
	}
	fails(b, ck.CKR_ATTRIBUTE_TYPE_INVALID, &p11.GetAttributeValue{Session: b.s, Object: b.aes(), Types: []ck.AttributeType{ck.CKA_FINGERPRINT_SHA256}})
	fails(b, ck.CKR_ATTRIBUTE_READ_ONLY, &p11.SetAttributeValue{Session: b.s, Object: pair.Public, Template: tmpl(ck.CKA_FINGERPRINT_SHA1, string(sum1[:]))})
}

// Applications keep bytes of their own with keys, certificates and data.
func TestApplicationAttributes(t *testing.T) {
	b := newBench(t)
	data := create(t, b.h, b.s, ck.CKA_CLASS, ck.CKO_DATA, ck.CKA_TOKEN, true, ck.CKA_GENERIC_1, "one", ck.CKA_EKM_UID, "id 7")
	for _, o := range []ck.ObjectHandle{data, b.aes(), b.rsaPair().Public} {
		ok(b, &p11.SetAttributeValue{Session: b.s, Object: o, Template: tmpl(ck.CKA_GENERIC_2, "two", ck.CKA_GENERIC_3, "")})
		check(t, b.h, b.s, o, ck.CKA_GENERIC_2, "two", ck.CKA_GENERIC_3, "")
	}
	check(t, b.h, b.s, data, ck.CKA_GENERIC_1, "one", ck.CKA_EKM_UID, "id 7")
	if found := find(t, b.h, b.s, ck.CKA_EKM_UID, "id 7"); len(found) != 1 || found[0] != data {
		t.Errorf("found %v by CKA_EKM_UID, want %v", found, data)
	}
}

package hsm

import (
	"slices"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// policy puts another value of a policy in force on the partition, without a
// Partition SO and without what the change would destroy.
func (b *bench) policy(id, value uint64) {
	p := b.session().part
	s := *p.policies.Load()
	s[id] = value
	p.policies.Store(&s)
}

// In FIPS mode the list, the sizes and the refusals follow the rows.
func TestFIPSMode(t *testing.T) {
	h := newTestHSM(t)
	must(t, h, &p11.InitHSM{Label: "fips", PIN: []byte("hsm so pin")})
	b := &bench{t, h, open(t, h, 0, true)}
	ok(b, &p11.Login{Session: b.s, User: ck.CKU_USER, PIN: []byte(userPIN)})
	short := b.secret(ck.CKK_GENERIC_SECRET, make([]byte, 8), ck.NewBool(ck.CKA_SIGN, true), ck.NewBool(ck.CKA_VERIFY, true))
	all := ok(b, &p11.GetMechanismList{Slot: 0}).Mechanisms
	b.policy(policyPartitionNonFIPS, 0)

	list := ok(b, &p11.GetMechanismList{Slot: 0}).Mechanisms
	for _, m := range all {
		row := engine.Find(m)
		if slices.Contains(list, m) != row.FIPS {
			t.Errorf("%v: listed %v, approved %v", m, !row.FIPS, row.FIPS)
		}
		if !row.FIPS {
			fails(b, ck.CKR_MECHANISM_INVALID, &p11.GetMechanismInfo{Slot: 0, Type: m})
			continue
		}
		info := ok(b, &p11.GetMechanismInfo{Slot: 0, Type: m})
		if info.MinKeySize < row.FIPSMin && !row.Legacy {
			t.Errorf("%v: smallest key %d, approved are %d and more", m, info.MinKeySize, row.FIPSMin)
		}
		if row.Legacy && info.Flags&(ck.CKF_SIGN|ck.CKF_ENCRYPT|ck.CKF_GENERATE) != 0 {
			t.Errorf("%v: flags %#x of a legacy mechanism", m, info.Flags)
		}
	}
	fails(b, ck.CKR_MECHANISM_INVALID, &p11.Begin{Session: b.s, Op: p11.OpSign, Mechanism: mech(ck.CKM_RSA_X_509), Key: 1})

	// Sizes: of a row made for this, because what is approved changes.
	row := *engine.Find(ck.CKM_SHA256_HMAC)
	row.FIPSMin, row.LegacyMin = 14, 6
	key, err := h.keyObject(t.Context(), b.session(), short)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.checkUse(b.session().part, &row, use(p11.OpSign), key, nil); ck.RVOf(err) != ck.CKR_KEY_SIZE_RANGE {
		t.Errorf("a short key signs: %v", err)
	}
	if err := h.checkUse(b.session().part, &row, use(p11.OpVerify), key, nil); err != nil {
		t.Errorf("a short key does not verify: %v", err)
	}
	row.Legacy = true
	if row.Approved(true) || !row.Approved(false) {
		t.Error("a legacy mechanism produces, or does not consume")
	}
}

// TestBlindingFollowsThePolicy: every use of a key looks at policy 16 again, and
// results are the same either way.
func TestBlindingFollowsThePolicy(t *testing.T) {
	b := newBench(t)
	pair := b.rsaPair()
	key, err := b.h.keyObject(t.Context(), b.session(), pair.Private)
	if err != nil {
		t.Fatal(err)
	}
	ciphertext := b.whole(p11.OpEncrypt, mech(ck.CKM_RSA_PKCS), pair.Public, []byte("a message"))
	signature := b.whole(p11.OpSign, mech(ck.CKM_RSA_PKCS), pair.Private, []byte("a message"))
	for i, unblinded := range []uint64{1, 0, 0, 1} {
		b.policy(policyUnblindedRSA, unblinded)
		if i%2 == 0 {
			sameBytes(t, "signature", b.whole(p11.OpSign, mech(ck.CKM_RSA_PKCS), pair.Private, []byte("a message")), signature)
		} else {
			sameBytes(t, "plaintext", b.whole(p11.OpDecrypt, mech(ck.CKM_RSA_PKCS), pair.Private, ciphertext), []byte("a message"))
		}
		if blind := key.key().Blind.Load(); blind != (unblinded == 0) {
			t.Errorf("policy 16 is %d, and the key was blinded: %v", unblinded, blind)
		}
	}
}

package policies

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/perilune/perilune/cryptoki/ck"
)

// FIPS mode of the HSM empties it, and all its partitions are in it.
func TestPolicyHSM12NonFIPS(t *testing.T) {
	h := newHSM(t, "")
	h.aes(h.officer())
	if !h.lists(pkcs11.CKM_MD5) {
		t.Error("MD5 is not there outside FIPS mode")
	}
	old := h.slot
	h.setHSM("12", "off")
	_, err := h.p.OpenSession(old, pkcs11.CKF_SERIAL_SESSION)
	h.wants(ck.CKR_SLOT_ID_INVALID, "the partition of before", err)
	s := h.officer()
	h.wants(ck.CKR_MECHANISM_INVALID, "MD5 in FIPS mode", h.p.DigestInit(s, mech(pkcs11.CKM_MD5)))
	if h.lists(pkcs11.CKM_MD5) || !h.lists(pkcs11.CKM_SHA256) {
		t.Error("the list of mechanisms is wrong")
	}
	if out, err := h.try("partition policy set --id 43 --value on --force --so-pin env:SO --slot " + number(h.slot)); err == nil || !strings.Contains(out, "CKR_CONFIG_FAILS_DEPENDENCIES") {
		t.Errorf("a partition left FIPS mode: %s", out)
	}
	h.setHSM("12", "on")
	if h.aes(h.officer()); !h.lists(pkcs11.CKM_MD5) {
		t.Error("FIPS mode does not end")
	}
}

// lockOfficer tries wrong PINs until no try is left.
func (h *hsm) lockOfficer() {
	h.t.Helper()
	s := h.open()
	for range 10 {
		h.wants(ck.CKR_PIN_INCORRECT, "a wrong PIN", h.p.Login(s, pkcs11.CKU_USER, "wrong pin"))
	}
	h.wants(ck.CKR_PIN_LOCKED, "the right PIN afterwards", h.p.Login(s, pkcs11.CKU_USER, pins["CO"]))
	h.close()
}

func TestPolicyHSM15SOResetsPIN(t *testing.T) {
	h := newHSM(t, "")
	h.aes(h.officer())
	h.close()
	reset := func() error {
		s := h.as(pkcs11.CKU_SO, "SO")
		defer h.close()
		return h.p.InitPIN(s, pins["CO"])
	}
	h.lockOfficer()
	h.wants(ck.CKR_OK, "a new PIN with HSM policy 15", reset())
	s := h.officer()
	h.good(h.p.FindObjectsInit(s, attr(pkcs11.CKA_CLASS, uint(pkcs11.CKO_SECRET_KEY))))
	found, _, err := h.p.FindObjects(s, 9)
	h.good(err)
	if len(found) != 1 {
		t.Errorf("%d keys after the reset", len(found))
	}
	h.close()

	h.setHSM("15", "off")
	h.lockOfficer()
	h.wants(ck.CKR_OPERATION_NOT_ALLOWED, "a new PIN without HSM policy 15", reset())
	s = h.open()
	h.wants(ck.CKR_PIN_LOCKED, "the officer", h.p.Login(s, pkcs11.CKU_USER, pins["CO"]))
}

func TestPolicyHSM17KoreanAlgorithms(t *testing.T) {
	h := newHSM(t, "")
	s := h.officer()
	korean := []uint{0x00000650, 0x80000108, 0x80000100, 0x80000102, 0x80504c30} // SEED, HAS-160, KCDSA, EC-KCDSA
	seed, err := h.p.GenerateKey(s, mech(0x00000650), attr(pkcs11.CKA_ENCRYPT, true))
	h.wants(ck.CKR_OK, "a SEED key", err)
	for _, m := range korean {
		if !h.lists(m) {
			t.Errorf("%#x is not listed", m)
		}
	}
	h.setHSM("17", "off")
	for _, m := range korean {
		if h.lists(m) {
			t.Errorf("%#x is listed", m)
		}
	}
	_, err = h.p.GenerateKey(s, mech(0x00000650), attr(pkcs11.CKA_ENCRYPT, true))
	h.wants(ck.CKR_MECHANISM_INVALID, "a SEED key without HSM policy 17", err)
	h.wants(ck.CKR_MECHANISM_INVALID, "using one", h.p.EncryptInit(s, mech(0x00000651), seed))
	_, err = h.p.GenerateKey(s, mech(0x00000560), attr(pkcs11.CKA_VALUE_LEN, 16))
	h.wants(ck.CKR_OK, "an ARIA key", err)
}

func TestPolicyHSM21ForcedPINChange(t *testing.T) {
	h := newHSM(t, "")
	_, err := h.generate(h.officer())
	h.wants(ck.CKR_OK, "without HSM policy 21", err)
	h.setHSM("21", "on")
	h.close()
	h.partition("")
	s := h.officer()
	_, err = h.generate(s)
	h.wants(ck.CKR_PIN_EXPIRED, "with the PIN that somebody else chose", err)
	h.good(h.p.SetPIN(s, pins["CO"], pins["CO"]))
	_, err = h.generate(s)
	h.wants(ck.CKR_OK, "with a PIN of one's own", err)
}

func TestPolicyHSM33MaxPartitions(t *testing.T) {
	h := newHSM(t, "")
	h.setHSM("33", "2")
	h.partition("")
	out, err := h.try("partition create --name third --hsm-so-pin env:HSM_SO")
	if err == nil || !strings.Contains(out, "CKR_LICENSE_CAPACITY_EXCEEDED") {
		t.Errorf("a third partition of two: %s", out)
	}
	slots, err := h.p.GetSlotList(true)
	if h.good(err); len(slots) != 2 {
		t.Errorf("slots %v", slots)
	}
	if out, err := h.try("hsm policy set --id 33 --value 1 --hsm-so-pin env:HSM_SO"); err == nil || !strings.Contains(out, "CKR_CONFIG_FAILS_DEPENDENCIES") {
		t.Errorf("fewer partitions than there are: %s", out)
	}
}

// policy is what the tables say of one.
type policy struct {
	ID       int
	Text     *string
	Settable bool
}

// Every policy that can be set has a test that shows what it does.
func TestEveryPolicyIsShown(t *testing.T) {
	h := newHSM(t, "")
	tests := testNames(t)
	for prefix, line := range map[string]string{"TestPolicyHSM": "hsm policy list --json", "TestPolicy": "partition policy list --json --slot " + number(h.slot)} {
		var list []policy
		h.decode(&list, line)
		settable := 0
		for _, p := range list {
			if !p.Settable {
				continue
			}
			settable++
			name := fmt.Sprintf("%s%02d", prefix, p.ID)
			shown := false
			for _, test := range tests {
				shown = shown || strings.HasPrefix(test, name)
			}
			if !shown {
				t.Errorf("no test %s... shows what policy %d, %q, does", name, p.ID, *p.Text)
			}
		}
		if settable < 7 {
			t.Errorf("%s: only %d policies can be set", line, settable)
		}
	}
}

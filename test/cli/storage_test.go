package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
)

// containerFull is CKR_CONTAINER_OBJECT_STORAGE_FULL.
const containerFull = pkcs11.Error(0x8000002C)

// TestStorageAsOnDevices: an HSM with the behaviour of devices, 32 MB and ten
// licensed partitions, from the first to the one too many, and one that is filled.
func TestStorageAsOnDevices(t *testing.T) {
	h := newHost(t)
	h.run(done, "hsm init --label device --profile luna-7.2 --so-pin env:HSM_SO")
	for i := range 10 {
		h.run(done, fmt.Sprintf("partition create --name p%d --hsm-so-pin env:HSM_SO", i))
	}
	h.says(failed, "partition create --name p10 --hsm-so-pin env:HSM_SO", "CKR_LICENSE_CAPACITY_EXCEEDED", "partition delete")
	var parts []struct {
		Storage struct{ Total, Free, Overhead uint64 }
	}
	if err := json.Unmarshal([]byte(h.run(done, "partition list --json").stdout), &parts); err != nil {
		t.Fatal(err)
	}
	for i, p := range parts {
		if p.Storage.Total != 3_345_795 && !(i >= 8 && p.Storage.Total == 3_345_796) || p.Storage.Overhead != 9_648 {
			t.Errorf("partition %d has %+v", i, p.Storage)
		}
	}
	if s := h.account("hsm show --json"); s != (account{Total: 33_554_432, Used: 33_554_432, Overhead: 10 * 9_648}) {
		t.Errorf("the HSM's account is %+v", s)
	}

	// The HSM SO makes one partition small, and its Crypto Officer fills it.
	h.says(failed, "partition resize --partition p0 --size 3345797 --hsm-so-pin env:HSM_SO", "CKR_HSM_STORAGE_FULL")
	h.run(done, "partition resize --partition p0 --size 1000 --hsm-so-pin env:HSM_SO")
	h.run(done, "partition init --partition p0 --label full --so-pin env:SO")
	h.run(done, "role init --partition full --role co --so-pin env:SO --new-pin env:CU")
	h.run(done, "role changepw --partition full --role co --pin env:CU --new-pin env:CO")
	h.fill(0, 1000)
	h.says(failed, "key generate --partition full --type aes --label more --pin env:CO", "CKR_CONTAINER_OBJECT_STORAGE_FULL", "partition resize")
	h.says(failed, "partition resize --partition full --size 900 --hsm-so-pin env:HSM_SO", "CKR_CONTAINER_OBJECT_STORAGE_FULL")
	h.run(done, "partition resize --partition full --size 1300 --hsm-so-pin env:HSM_SO")
	h.run(done, "key generate --partition full --type aes --label more --pin env:CO")
	if out := h.run(done, "partition clear --partition full --pin env:CO --force").stdout; !strings.HasSuffix(out, " objects were deleted.\n") {
		t.Errorf("clear says %q", out)
	}
	if s := h.account("partition show --partition full --json"); s != (account{Total: 1300, Free: 1300, Overhead: 9_648}) {
		t.Errorf("the cleared partition's account is %+v", s)
	}
}

type account struct{ Total, Used, Free, Overhead uint64 }

// account reads what a command says of storage.
func (h *host) account(line string) account {
	h.t.Helper()
	var shown struct{ Storage account }
	if err := json.Unmarshal([]byte(h.run(done, line).stdout), &shown); err != nil {
		h.t.Fatal(err)
	}
	return shown.Storage
}

// fill makes keys through the library until there is no room, and compares what
// the library tells of it.
func (h *host) fill(slot uint, size uint) {
	t := h.t
	t.Helper()
	for _, v := range h.env {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "PERILUNE_") {
			t.Setenv(name, value)
		}
	}
	m := pkcs11.New(h.module)
	if m == nil {
		t.Fatal("the library does not load")
	}
	defer m.Destroy()
	if err := m.Initialize(); err != nil {
		t.Fatal(err)
	}
	defer m.Finalize()
	s, err := m.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err == nil {
		err = m.Login(s, pkcs11.CKU_USER, pin)
	}
	if err != nil {
		t.Fatal(err)
	}
	const each = 124 + 32
	for made := uint(0); ; made++ {
		info, err := m.GetTokenInfo(slot)
		if err != nil {
			t.Fatal(err)
		}
		free := size - made*each
		if info.TotalPublicMemory != size || info.TotalPrivateMemory != size || info.FreePublicMemory != free || info.FreePrivateMemory != free {
			t.Errorf("after %d keys: %d and %d of %d bytes are free", made, info.FreePublicMemory, info.FreePrivateMemory, info.TotalPublicMemory)
		}
		_, err = m.GenerateKey(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32)})
		if want := free < each; want != (err == containerFull) || !want && err != nil {
			t.Fatalf("with %d bytes free: %v", free, err)
		}
		if err != nil {
			return
		}
	}
}

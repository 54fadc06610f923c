package engine

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// NIST's key expansion of TLS 1.2, cut into pieces of 20, 16 and 16 bytes.
func TestTLS12KeyMaterial(t *testing.T) {
	const block = "d06139889fffac1e3a71865f504aa5d0d2a2e89506c6f2279b670c3e1b74f531016a2530c51a3a0f7e1d6590d0f0566b" +
		"2f387f8d11fd4f731cdd572d2eae927f6f2f81410b25e6960be68985add6c38445ad9f8c64bf8068bf9a6679485d966f1ad6f68b" +
		"43495b10a683755ea2b858d70ccac7ec8b053c6bd41ca299d4e51928"
	out := &SSL3KeyMatOut{IVClient: []byte{}, IVServer: []byte{}}
	p := &TLS12KeyMatParams{
		MACBits: 160, KeyBits: 128, IVBits: 128, Out: out, Hash: ck.CKM_SHA256,
		Random: SSL3RandomData{
			unhex("62e1fd91f23f558a605f28478c58cf72637b89784d959df7e946d3f07bd1b616"),
			unhex("ae6c806f8ad4d80784549dff28a4b58fd837681a51d928c3e30ee5ff14f39868"),
		},
	}
	template := []ck.Attribute{ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_AES), ck.NewULong(ck.CKA_VALUE_LEN, uint64(16)), ck.NewBool(ck.CKA_ENCRYPT, false)}
	list, err := Find(ck.CKM_TLS12_KEY_AND_MAC_DERIVE).DeriveKeys(secretKey(ck.CKK_GENERIC_SECRET, unhex(tls12Master)), p, &Derivation{Template: template})
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for i, d := range list {
		got = append(got, d.Values[0].Value...)
		kt := ck.Find(d.Template, ck.CKA_KEY_TYPE)
		if cipherKey := i >= 2; (kt != nil) != cipherKey || ck.Find(d.Template, ck.CKA_VALUE_LEN) != nil {
			t.Errorf("template of key %d: %v", i, d.Template)
		}
	}
	got = slices.Concat(got, out.IVClient, out.IVServer)
	if hex.EncodeToString(got) != block[:2*len(got)] {
		t.Errorf("key block %x", got)
	}
	handles := []*NewHandle{&out.ClientMACSecret, &out.ServerMACSecret, &out.ClientKey, &out.ServerKey}
	for i, d := range list {
		if d.Handle != handles[i] {
			t.Errorf("key %d goes elsewhere", i)
		}
	}
	if a := ck.Find(list[2].Template, ck.CKA_ENCRYPT); !bytes.Equal(a.Value, ck.PutBool(false)) {
		t.Error("the caller's use of the cipher key is overridden")
	}

	// Without MAC keys and IVs, as in AEAD suites.
	p.MACBits, p.IVBits, p.Out = 0, 0, &SSL3KeyMatOut{}
	list, err = Find(ck.CKM_TLS12_KEY_SAFE_DERIVE).DeriveKeys(secretKey(ck.CKK_GENERIC_SECRET, unhex(tls12Master)), p, &Derivation{})
	if err != nil || len(list) != 2 || hex.EncodeToString(list[1].Values[0].Value) != block[32:64] {
		t.Errorf("AEAD keys: %v, %v", list, err)
	}
}

func TestTLSRefusals(t *testing.T) {
	k := secretKey(ck.CKK_GENERIC_SECRET, pattern(48))
	out := func() *SSL3KeyMatOut { return &SSL3KeyMatOut{IVClient: []byte{}, IVServer: []byte{}} }
	for name, c := range map[string]struct {
		m ck.MechanismType
		p any
	}{
		"no parameter":   {ck.CKM_TLS12_KEY_AND_MAC_DERIVE, nil},
		"no place":       {ck.CKM_TLS12_KEY_AND_MAC_DERIVE, &TLS12KeyMatParams{KeyBits: 128, Hash: ck.CKM_SHA256}},
		"no hash":        {ck.CKM_TLS12_KEY_AND_MAC_DERIVE, &TLS12KeyMatParams{KeyBits: 128, Out: out()}},
		"export":         {ck.CKM_SSL3_KEY_AND_MAC_DERIVE, &SSL3KeyMatParams{KeyBits: 128, Export: true, Out: out()}},
		"part of a byte": {ck.CKM_SSL3_KEY_AND_MAC_DERIVE, &SSL3KeyMatParams{KeyBits: 129, Out: out()}},
		"absurd":         {ck.CKM_SSL3_KEY_AND_MAC_DERIVE, &SSL3KeyMatParams{KeyBits: 1 << 63, Out: out()}},
		"beyond SSL 3.0": {ck.CKM_SSL3_KEY_AND_MAC_DERIVE, &SSL3KeyMatParams{MACBits: 1024, KeyBits: 1024, IVBits: 1024, Out: out()}},
		"no IV place":    {ck.CKM_TLS_KEY_AND_MAC_DERIVE, &SSL3KeyMatParams{KeyBits: 128, IVBits: 64, Out: &SSL3KeyMatOut{}}},
		"PRF to nowhere": {ck.CKM_TLS_PRF, &TLSPRFParams{}},
		"PRF too long":   {ck.CKM_TLS_PRF, &TLSPRFParams{Output: []byte{}, OutputLen: new(uint64)}},
		"DH version":     {ck.CKM_TLS12_MASTER_KEY_DERIVE_DH, &TLS12MasterKeyDeriveParams{Version: &SSLVersion{}, Hash: ck.CKM_SHA256}},
		"master hash":    {ck.CKM_TLS12_EXTENDED_MASTER_KEY_DERIVE, &TLS12ExtendedMasterKeyDeriveParams{Hash: ck.CKM_AES_CBC}},
	} {
		if _, err := Find(c.m).DeriveKeys(k, c.p, &Derivation{}); ck.RVOf(err) != ck.CKR_MECHANISM_PARAM_INVALID {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, p := range map[string]*TLSMACParams{
		"nil": nil, "hash": {PRF: ck.CKM_AES_CBC, Len: 12, ServerOrClient: 1}, "short": {PRF: ck.CKM_SHA256, Len: 11, ServerOrClient: 1},
		"long": {PRF: ck.CKM_SHA256, Len: 65, ServerOrClient: 1}, "TLS 1.0": {PRF: ck.CKM_TLS_PRF, Len: 16, ServerOrClient: 1},
		"whose": {PRF: ck.CKM_SHA256, Len: 12, ServerOrClient: 3},
	} {
		wantError(t, beginError(Find(ck.CKM_TLS_MAC).Sign(k, p)), ck.CKR_MECHANISM_PARAM_INVALID)
		_ = name
	}
	_, err := Find(ck.CKM_TLS_KDF).Derive(k, &TLSKDFParams{PRF: ck.CKM_SHA256}, &Derivation{Type: ck.CKK_GENERIC_SECRET})
	wantError(t, err, ck.CKR_TEMPLATE_INCOMPLETE)
	_, err = Find(ck.CKM_SSL3_PRE_MASTER_KEY_GEN).Generate(&SSLVersion{3, 0}, []ck.Attribute{ck.NewULong(ck.CKA_VALUE_LEN, uint64(32))})
	wantError(t, err, ck.CKR_TEMPLATE_INCONSISTENT)
}

// The version comes out of the pre-master secret.
func TestMasterVersion(t *testing.T) {
	p := &SSL3MasterKeyDeriveParams{Version: &SSLVersion{}}
	if _, err := Find(ck.CKM_TLS_MASTER_KEY_DERIVE).Derive(secretKey(ck.CKK_GENERIC_SECRET, pattern(48)), p, &Derivation{}); err != nil {
		t.Fatal(err)
	}
	if want := pattern(2); p.Version.Major != want[0] || p.Version.Minor != want[1] {
		t.Errorf("version %v", p.Version)
	}
}

func TestIKERefusals(t *testing.T) {
	k := secretKey(ck.CKK_GENERIC_SECRET, pattern(20))
	d := &Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 20}
	for name, c := range map[string]struct {
		m  ck.MechanismType
		p  any
		d  *Derivation
		rv ck.RV
	}{
		"no parameter": {ck.CKM_IKE_PRF_DERIVE, nil, d, ck.CKR_MECHANISM_PARAM_INVALID},
		"both":         {ck.CKM_IKE_PRF_DERIVE, &IKEPRFDeriveParams{PRF: ck.CKM_SHA_1_HMAC, DataAsKey: true, Rekey: true}, d, ck.CKR_ARGUMENTS_BAD},
		"no new key":   {ck.CKM_IKE_PRF_DERIVE, &IKEPRFDeriveParams{PRF: ck.CKM_SHA_1_HMAC, Rekey: true}, d, ck.CKR_MECHANISM_PARAM_INVALID},
		"length":       {ck.CKM_IKE_PRF_DERIVE, &IKEPRFDeriveParams{PRF: ck.CKM_SHA256_HMAC}, d, ck.CKR_KEY_SIZE_RANGE},
		"no PRF":       {ck.CKM_IKE2_PRF_PLUS_DERIVE, &IKE2PRFPlusDeriveParams{PRF: ck.CKM_AES_CBC}, d, ck.CKR_MECHANISM_PARAM_INVALID},
		"general":      {ck.CKM_IKE2_PRF_PLUS_DERIVE, &IKE2PRFPlusDeriveParams{PRF: ck.CKM_SHA_1_HMAC_GENERAL}, d, ck.CKR_MECHANISM_PARAM_INVALID},
		"too long": {ck.CKM_IKE2_PRF_PLUS_DERIVE, &IKE2PRFPlusDeriveParams{PRF: ck.CKM_SHA_1_HMAC},
			&Derivation{Type: ck.CKK_GENERIC_SECRET, Len: 255*20 + 1}, ck.CKR_KEY_SIZE_RANGE},
		"no length": {ck.CKM_IKE2_PRF_PLUS_DERIVE, &IKE2PRFPlusDeriveParams{PRF: ck.CKM_SHA_1_HMAC},
			&Derivation{Type: ck.CKK_GENERIC_SECRET}, ck.CKR_TEMPLATE_INCOMPLETE},
		"no g^xy": {ck.CKM_IKE1_PRF_DERIVE, &IKE1PRFDeriveParams{PRF: ck.CKM_SHA_1_HMAC}, d, ck.CKR_MECHANISM_PARAM_INVALID},
	} {
		if _, err := Find(c.m).Derive(k, c.p, c.d); ck.RVOf(err) != c.rv {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// NSS's vectors of a function that takes a key of any length: XCBC of RFC 4434.
func TestIKEWithAES(t *testing.T) {
	if Find(ck.CKM_AES_XCBC_MAC) == nil {
		t.Fatal("CKM_AES_XCBC_MAC is missing")
	}
	p := &IKEPRFDeriveParams{PRF: ck.CKM_AES_XCBC_MAC, DataAsKey: true, Ni: unhex(ikeNi), Nr: unhex(ikeNr)}
	if err := testIKE(ck.CKM_IKE_PRF_DERIVE, ikeGir, p, 0, "08b95345c9557240ddc98d6e1dfda875"); err != nil {
		t.Error(err)
	}
	p = &IKEPRFDeriveParams{PRF: ck.CKM_AES_XCBC_MAC, Ni: unhex("03a6f25a83c8c2a3"), Nr: unhex("9d958a6618f77e7f")}
	if err := testIKE(ck.CKM_IKE_PRF_DERIVE, "c0", p, 0, "8963b0c6057c347c4ddec448f1779e2a"); err != nil {
		t.Error(err)
	}
}

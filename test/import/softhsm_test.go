package imports

import (
	"bytes"
	"encoding/asn1"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"
)

const (
	softHSM    = "/usr/lib/softhsm/libsofthsm2.so"
	tokenPIN   = "very secret source"
	tokenSOPIN = "very secret source's so"
)

// newToken makes a store with a token.
func (h *host) newToken() (*client, string) {
	h.Helper()
	store := filepath.Join(h.dir, "tokens")
	if err := os.Mkdir(store, 0o700); err != nil {
		h.Fatal(err)
	}
	h.Setenv("SOFTHSM2_CONF", h.file("softhsm2.conf", "directories.tokendir = "+store+"\nobjectstore.backend = file\nlog.level = ERROR\n"))
	h.env = append(h.env, "SOFTHSM2_CONF="+os.Getenv("SOFTHSM2_CONF"), "SOURCE_SO="+tokenSOPIN)
	h.tool("softhsm2-util", "--init-token", "--free", "--label", "old", "--so-pin", tokenSOPIN, "--pin", tokenPIN)
	return connect(h.T, softHSM, "old", tokenPIN), store
}

// locked makes a key that cannot leave its token, private and sensitive.
func locked(label string, id byte, more ...*pkcs11.Attribute) []*pkcs11.Attribute {
	return append([]*pkcs11.Attribute{attr(pkcs11.CKA_TOKEN, true), attr(pkcs11.CKA_PRIVATE, true), attr(pkcs11.CKA_SENSITIVE, true),
		attr(pkcs11.CKA_EXTRACTABLE, false), attr(pkcs11.CKA_LABEL, label), attr(pkcs11.CKA_ID, []byte{id})}, more...)
}

func shown(label string, id byte, more ...*pkcs11.Attribute) []*pkcs11.Attribute {
	return append([]*pkcs11.Attribute{attr(pkcs11.CKA_TOKEN, true), attr(pkcs11.CKA_PRIVATE, false), attr(pkcs11.CKA_LABEL, label), attr(pkcs11.CKA_ID, []byte{id})}, more...)
}

func (c *client) pair(m uint, public, private []*pkcs11.Attribute) {
	c.Helper()
	if _, _, err := c.m.GenerateKeyPair(c.s, []*pkcs11.Mechanism{pkcs11.NewMechanism(m, nil)}, public, private); err != nil {
		c.Fatalf("mechanism %#x: %v", m, err)
	}
}

func (c *client) secret(m uint, template []*pkcs11.Attribute) {
	c.Helper()
	if _, err := c.m.GenerateKey(c.s, []*pkcs11.Mechanism{pkcs11.NewMechanism(m, nil)}, template); err != nil {
		c.Fatalf("mechanism %#x: %v", m, err)
	}
}

func (c *client) create(template []*pkcs11.Attribute) {
	c.Helper()
	if _, err := c.m.CreateObject(c.s, template); err != nil {
		c.Fatal(err)
	}
}

func oid(arcs ...int) []byte {
	der, err := asn1.Marshal(asn1.ObjectIdentifier(arcs))
	if err != nil {
		panic(err)
	}
	return der
}

// domain makes DSA or Diffie-Hellman parameters with OpenSSL: prime, order (DSA)
// and base.
func (h *host) domain(args ...string) (list [][]byte) {
	h.Helper()
	h.tool("openssl", append([]string{args[0], "-outform", "DER", "-out", "params.der"}, args[1:]...)...)
	der, err := os.ReadFile(filepath.Join(h.dir, "params.der"))
	if err != nil {
		h.Fatal(err)
	}
	var numbers []*big.Int
	if _, err := asn1.Unmarshal(der, &numbers); err != nil {
		h.Fatal(err)
	}
	for _, n := range numbers {
		list = append(list, n.Bytes())
	}
	return list
}

// Everything that a SoftHSM token can hold moves: what it signed is verified by
// the new home, what the new home signs is verified by SoftHSM, and what it
// encrypted is decrypted.
func TestMoveFromSoftHSM(t *testing.T) {
	h := newHost(t)
	old, _ := h.newToken()

	rsa := func(bits int) []*pkcs11.Attribute {
		return []*pkcs11.Attribute{attr(pkcs11.CKA_MODULUS_BITS, bits), attr(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})}
	}
	old.pair(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, shown("rsa", 1, rsa(2048)...), locked("rsa", 1, attr(pkcs11.CKA_SUBJECT, []byte("subject"))))
	old.pair(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, shown("rsa decrypts", 2, rsa(1024)...),
		locked("rsa decrypts", 2, attr(pkcs11.CKA_SIGN, false), attr(pkcs11.CKA_SIGN_RECOVER, false), attr(pkcs11.CKA_UNWRAP, false)))
	curves := map[string][]byte{"P-256": oid(1, 2, 840, 10045, 3, 1, 7), "P-384": oid(1, 3, 132, 0, 34), "P-521": oid(1, 3, 132, 0, 35), "secp256k1": oid(1, 3, 132, 0, 10)}
	for name, params := range curves {
		old.pair(pkcs11.CKM_EC_KEY_PAIR_GEN, shown(name, 3, attr(pkcs11.CKA_EC_PARAMS, params)), locked(name, 3))
	}
	old.pair(0x1055, shown("ed25519", 4, attr(pkcs11.CKA_EC_PARAMS, oid(1, 3, 101, 112))), locked("ed25519", 4))
	dsa := h.domain("dsaparam", "1024")
	old.pair(pkcs11.CKM_DSA_KEY_PAIR_GEN, shown("dsa", 5, attr(pkcs11.CKA_PRIME, dsa[0]), attr(pkcs11.CKA_SUBPRIME, dsa[1]), attr(pkcs11.CKA_BASE, dsa[2])), locked("dsa", 5))
	dh := h.domain("dhparam", "512")
	old.pair(pkcs11.CKM_DH_PKCS_KEY_PAIR_GEN, shown("dh", 6, attr(pkcs11.CKA_PRIME, dh[0]), attr(pkcs11.CKA_BASE, dh[1])), locked("dh", 6, attr(pkcs11.CKA_DERIVE, true)))
	for i, size := range []int{16, 24, 32} {
		old.secret(pkcs11.CKM_AES_KEY_GEN, locked("aes "+[]string{"128", "192", "256"}[i], 7, attr(pkcs11.CKA_VALUE_LEN, size)))
	}
	old.secret(pkcs11.CKM_DES3_KEY_GEN, locked("des3", 8))
	old.secret(pkcs11.CKM_GENERIC_SECRET_KEY_GEN, locked("hmac", 9, attr(pkcs11.CKA_VALUE_LEN, 40)))
	old.secret(pkcs11.CKM_AES_KEY_GEN, locked("wraps", 10, attr(pkcs11.CKA_VALUE_LEN, 32), attr(pkcs11.CKA_ENCRYPT, false), attr(pkcs11.CKA_DECRYPT, false),
		attr(pkcs11.CKA_SIGN, false), attr(pkcs11.CKA_VERIFY, false), attr(pkcs11.CKA_START_DATE, []byte("20240102")), attr(pkcs11.CKA_END_DATE, []byte("20991231"))))
	old.create([]*pkcs11.Attribute{attr(pkcs11.CKA_CLASS, pkcs11.CKO_DATA), attr(pkcs11.CKA_TOKEN, true), attr(pkcs11.CKA_PRIVATE, true),
		attr(pkcs11.CKA_LABEL, "note"), attr(pkcs11.CKA_APPLICATION, "app"), attr(pkcs11.CKA_OBJECT_ID, oid(1, 2, 3)), attr(pkcs11.CKA_VALUE, []byte("hello"))})
	h.tool("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k.pem", "-out", "c.der", "-outform", "DER", "-subj", "/CN=web", "-days", "3650")
	h.tool("pkcs11-tool", "--module", softHSM, "--login", "--pin", tokenPIN, "--write-object", "c.der", "--type", "cert", "--label", "web", "--id", "0b")

	type signer struct {
		label string
		m     uint
	}
	signers := []signer{{"rsa", pkcs11.CKM_SHA256_RSA_PKCS}, {"P-256", pkcs11.CKM_ECDSA}, {"P-384", pkcs11.CKM_ECDSA}, {"P-521", pkcs11.CKM_ECDSA},
		{"secp256k1", pkcs11.CKM_ECDSA}, {"ed25519", 0x1057}, {"dsa", pkcs11.CKM_DSA_SHA1}}
	text := []byte("twenty bytes of text")
	signed := map[string][]byte{}
	for _, x := range signers {
		signed[x.label] = old.sign(x.m, old.key(pkcs11.CKO_PRIVATE_KEY, x.label), text)
	}
	encrypt := func(c *client, m uint, iv []byte, key pkcs11.ObjectHandle) []byte {
		if err := c.m.EncryptInit(c.s, []*pkcs11.Mechanism{pkcs11.NewMechanism(m, iv)}, key); err != nil {
			t.Fatal(err)
		}
		b, err := c.m.Encrypt(c.s, text)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	aes := encrypt(old, pkcs11.CKM_AES_CBC_PAD, make([]byte, 16), old.key(pkcs11.CKO_SECRET_KEY, "aes 192"))
	des := encrypt(old, pkcs11.CKM_DES3_CBC_PAD, make([]byte, 8), old.key(pkcs11.CKO_SECRET_KEY, "des3"))
	rsaText := encrypt(old, pkcs11.CKM_RSA_PKCS, nil, old.key(pkcs11.CKO_PUBLIC_KEY, "rsa decrypts"))
	mac := old.sign(pkcs11.CKM_SHA256_HMAC, old.key(pkcs11.CKO_SECRET_KEY, "hmac"), text)

	r := h.imports("import softhsm2 --source-pin env:SOURCE")
	h.expect(r, 2*9+3+1+1+1+1+1, 0, 0)
	for _, o := range r.Objects {
		if o.Class == "private" && !strings.Contains(o.Proof, "against the public key of the source") {
			t.Errorf("%s: %s", o.Label, o.Proof)
		}
	}

	app := h.app()
	for _, x := range signers {
		app.verify(x.m, app.key(pkcs11.CKO_PUBLIC_KEY, x.label), text, signed[x.label])
		old.verify(x.m, old.key(pkcs11.CKO_PUBLIC_KEY, x.label), text, app.sign(x.m, app.key(pkcs11.CKO_PRIVATE_KEY, x.label), text))
	}
	decrypts := func(m uint, iv, ciphertext []byte, key pkcs11.ObjectHandle) {
		t.Helper()
		if err := app.m.DecryptInit(app.s, []*pkcs11.Mechanism{pkcs11.NewMechanism(m, iv)}, key); err != nil {
			t.Fatal(err)
		}
		if b, err := app.m.Decrypt(app.s, ciphertext); err != nil || !bytes.Equal(b, text) {
			t.Errorf("mechanism %#x: %q, %v", m, b, err)
		}
	}
	decrypts(pkcs11.CKM_AES_CBC_PAD, make([]byte, 16), aes, app.key(pkcs11.CKO_SECRET_KEY, "aes 192"))
	decrypts(pkcs11.CKM_DES3_CBC_PAD, make([]byte, 8), des, app.key(pkcs11.CKO_SECRET_KEY, "des3"))
	decrypts(pkcs11.CKM_RSA_PKCS, nil, rsaText, app.key(pkcs11.CKO_PRIVATE_KEY, "rsa decrypts"))
	app.verify(pkcs11.CKM_SHA256_HMAC, app.key(pkcs11.CKO_SECRET_KEY, "hmac"), text, mac)

	t.Run("attributes", func(t *testing.T) { sameAttributes(t, old, app) })
	t.Run("again", func(t *testing.T) {
		h.expect(h.imports("import softhsm2 "+filepath.Join(h.dir, "tokens")+" --source-so-pin env:SOURCE_SO"), 0, len(r.Objects), 0)
	})
}

// carried are the attributes that both sides must agree on, where SoftHSM has
// them.
var carried = []uint{
	pkcs11.CKA_ID, pkcs11.CKA_LABEL, pkcs11.CKA_PRIVATE, pkcs11.CKA_SUBJECT, pkcs11.CKA_START_DATE, pkcs11.CKA_END_DATE, pkcs11.CKA_SENSITIVE, pkcs11.CKA_EXTRACTABLE,
	pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT, pkcs11.CKA_SIGN, pkcs11.CKA_VERIFY, pkcs11.CKA_SIGN_RECOVER, pkcs11.CKA_VERIFY_RECOVER,
	pkcs11.CKA_WRAP, pkcs11.CKA_UNWRAP, pkcs11.CKA_DERIVE, pkcs11.CKA_MODIFIABLE, pkcs11.CKA_WRAP_WITH_TRUSTED, pkcs11.CKA_ALWAYS_AUTHENTICATE,
	pkcs11.CKA_MODULUS, pkcs11.CKA_PUBLIC_EXPONENT, pkcs11.CKA_EC_PARAMS, pkcs11.CKA_PRIME, pkcs11.CKA_APPLICATION, pkcs11.CKA_OBJECT_ID, pkcs11.CKA_ISSUER, pkcs11.CKA_SERIAL_NUMBER,
}

func sameAttributes(t *testing.T, old, app *client) {
	for _, o := range []struct {
		class uint
		label string
	}{
		{pkcs11.CKO_PRIVATE_KEY, "rsa"}, {pkcs11.CKO_PUBLIC_KEY, "rsa"}, {pkcs11.CKO_PRIVATE_KEY, "rsa decrypts"}, {pkcs11.CKO_PRIVATE_KEY, "P-384"},
		{pkcs11.CKO_PUBLIC_KEY, "secp256k1"}, {pkcs11.CKO_PRIVATE_KEY, "ed25519"}, {pkcs11.CKO_PRIVATE_KEY, "dsa"}, {pkcs11.CKO_PRIVATE_KEY, "dh"},
		{pkcs11.CKO_SECRET_KEY, "aes 256"}, {pkcs11.CKO_SECRET_KEY, "wraps"}, {pkcs11.CKO_DATA, "note"}, {pkcs11.CKO_CERTIFICATE, "web"},
	} {
		a, b := old.key(o.class, o.label), app.key(o.class, o.label)
		n := 0
		for _, attribute := range carried {
			want := old.read(a, attribute)
			if want == nil {
				continue
			}
			n++
			if got := app.read(b, attribute); !bytes.Equal(got, want) {
				t.Errorf("class %d %q, attribute %#x: %x was %x", o.class, o.label, attribute, got, want)
			}
		}
		if n < 5 {
			t.Errorf("class %d %q: only %d attributes were compared", o.class, o.label, n)
		}
	}
}

// An import that died in its middle is started again, and ends with each object
// once.
func TestImportGoesOnAfterKill(t *testing.T) {
	h := newHost(t)
	old, store := h.newToken()
	const n = 30
	for i := range n {
		old.secret(pkcs11.CKM_AES_KEY_GEN, locked("same", byte(i), attr(pkcs11.CKA_VALUE_LEN, 16)))
	}
	const twins = 5 // of one label and no identifier: only their values tell them apart
	for range twins {
		old.secret(pkcs11.CKM_AES_KEY_GEN, locked("twin", 0, attr(pkcs11.CKA_ID, []byte{}), attr(pkcs11.CKA_VALUE_LEN, 16)))
	}
	h.kill(func(text string) bool { return strings.Count(text, "\n") == 12 }, "import", "softhsm2", store, "--source-pin", "env:SOURCE", "--pin", "env:CO", "--progress")
	r := h.imports("import softhsm2 " + store + " --source-pin env:SOURCE")
	if r.Skipped < 10 || r.Imported == 0 {
		t.Errorf("after the kill: %d skipped, %d imported", r.Skipped, r.Imported)
	}
	h.expect(r, n+twins-r.Skipped, r.Skipped, 0)
	h.expect(h.imports("import softhsm2 "+store+" --source-pin env:SOURCE"), 0, n+twins, 0)
	if lines := strings.Count(h.must("key list --pin env:CO"), " secret "); lines != n+twins {
		t.Errorf("%d keys in the partition, want %d", lines, n+twins)
	}
}

// Whatever byte of a store is wrong, a key that is not the old one never gets in:
// the object is refused by name, or its proof fails, or the byte did not matter.
func TestDamagedStore(t *testing.T) {
	h := newHost(t)
	old, store := h.newToken()
	old.pair(pkcs11.CKM_EC_KEY_PAIR_GEN, shown("ec", 3, attr(pkcs11.CKA_EC_PARAMS, oid(1, 2, 840, 10045, 3, 1, 7))), locked("ec", 3))
	files, _ := filepath.Glob(filepath.Join(store, "*", "*-*.object"))
	slices.SortFunc(files, func(a, b string) int { return int(size(t, b) - size(t, a)) })
	whole, err := os.ReadFile(files[0]) // the larger is the private key
	if err != nil {
		t.Fatal(err)
	}
	point := old.read(old.key(pkcs11.CKO_PUBLIC_KEY, "ec"), pkcs11.CKA_EC_POINT)
	failed := 0
	for i := 8; i < len(whole); i += 29 {
		bad := slices.Clone(whole)
		bad[i] ^= 0x41
		if err := os.WriteFile(files[0], bad, 0o600); err != nil {
			t.Fatal(err)
		}
		r := h.imports("import softhsm2 " + store + " --source-pin env:SOURCE --dry-run")
		if failed += r.Failed; len(r.Objects) != 2 {
			t.Errorf("byte %d: %d objects", i, len(r.Objects))
		}
		for _, o := range r.Objects {
			if o.Class == "private" && o.Status == "imported" && !strings.Contains(o.Proof, "against the public key of the source") && o.ID == "03" && o.Label == "ec" {
				t.Errorf("byte %d: %+v", i, o)
			}
		}
	}
	if failed < 5 || point == nil {
		t.Errorf("only %d changed bytes were noticed", failed)
	}
}

func size(t *testing.T, path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// Where the HSM takes no keys in the clear, as devices in FIPS mode, they come all
// the same, and are as locked up as they were.
func TestImportWhereNothingComesInTheClear(t *testing.T) {
	h := newHost(t)
	old, store := h.newToken()
	old.pair(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, shown("rsa", 1, attr(pkcs11.CKA_MODULUS_BITS, 2048), attr(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})), locked("rsa", 1))
	old.pair(pkcs11.CKM_EC_KEY_PAIR_GEN, shown("ec", 2, attr(pkcs11.CKA_EC_PARAMS, oid(1, 2, 840, 10045, 3, 1, 7))), locked("ec", 2))
	old.secret(pkcs11.CKM_AES_KEY_GEN, locked("aes", 3, attr(pkcs11.CKA_VALUE_LEN, 32)))
	old.secret(pkcs11.CKM_AES_KEY_GEN, locked("wraps", 4, attr(pkcs11.CKA_VALUE_LEN, 16), attr(pkcs11.CKA_ENCRYPT, false), attr(pkcs11.CKA_DECRYPT, false),
		attr(pkcs11.CKA_SIGN, false), attr(pkcs11.CKA_VERIFY, false)))

	h.env = append(h.env, "HSM_SO=very secret of hsm", "NEW=very Secret1 new")
	h.must("hsm init --label lab --profile luna-7.2 --so-pin env:HSM_SO")
	h.must("hsm policy set --id 12 --value off --hsm-so-pin env:HSM_SO --force")
	h.must("partition create --name app --hsm-so-pin env:HSM_SO")
	h.must("partition init --partition app --label app --so-pin env:SO")
	h.must("role init --partition app --role co --so-pin env:SO --new-pin env:CO")
	h.must("role changepw --partition app --role co --pin env:CO --new-pin env:NEW")
	h.env = append(h.env, "CO=very Secret1 new")

	app := connect(t, h.module, "app", "very Secret1 new")
	clear := []*pkcs11.Attribute{attr(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), attr(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES), attr(pkcs11.CKA_TOKEN, true),
		attr(pkcs11.CKA_SENSITIVE, true), attr(pkcs11.CKA_PRIVATE, true), attr(pkcs11.CKA_VALUE, make([]byte, 16))}
	if _, err := app.m.CreateObject(app.s, clear); err == nil {
		t.Fatal("this HSM takes keys in the clear, so nothing is tested")
	}
	r := h.imports("import softhsm2 " + store + " --source-pin env:SOURCE")
	h.expect(r, 6, 0, 0)
	for _, o := range r.Objects {
		if strings.Contains(o.Proof, "copy") {
			t.Errorf("%s: %s", o.Label, o.Proof)
		}
	}
	h.expect(h.imports("import softhsm2 "+store+" --source-pin env:SOURCE"), 0, 6, 0)
	text := []byte("twenty bytes of text")
	key := app.key(pkcs11.CKO_PRIVATE_KEY, "rsa")
	old.verify(pkcs11.CKM_SHA256_RSA_PKCS, old.key(pkcs11.CKO_PUBLIC_KEY, "rsa"), text, app.sign(pkcs11.CKM_SHA256_RSA_PKCS, key, text))
	for _, label := range []string{"aes", "wraps"} {
		o := app.key(pkcs11.CKO_SECRET_KEY, label)
		if v := app.read(o, pkcs11.CKA_VALUE); v != nil || app.read(o, pkcs11.CKA_EXTRACTABLE)[0] != 0 || app.read(o, pkcs11.CKA_SENSITIVE)[0] != 1 {
			t.Errorf("%s is not as locked up as it was", label)
		}
	}
}

package scenarios

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/perilune/perilune/cryptoki/ck"
)

// setDomains puts two cloning domains into the environment.
func setDomains(t *testing.T) {
	t.Setenv("DOMAIN", "a domain of the lab")
	t.Setenv("OTHER", "a domain of others")
}

// find returns the objects of a class.
func (g *governed) find(s pkcs11.SessionHandle, class uint) []pkcs11.ObjectHandle {
	g.t.Helper()
	g.good(g.p.FindObjectsInit(s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class)}))
	found, _, err := g.p.FindObjects(s, 100)
	g.good(err)
	g.good(g.p.FindObjectsFinal(s))
	return found
}

// attributes reads attributes that must not change on a journey.
func (g *governed) attributes(s pkcs11.SessionHandle, o pkcs11.ObjectHandle) []byte {
	g.t.Helper()
	var wanted []*pkcs11.Attribute
	for _, t := range []uint{pkcs11.CKA_LOCAL, pkcs11.CKA_KEY_GEN_MECHANISM, pkcs11.CKA_ALWAYS_SENSITIVE, pkcs11.CKA_NEVER_EXTRACTABLE,
		pkcs11.CKA_SIGN, pkcs11.CKA_MODULUS, uint(ck.CKA_UNIQUE_ID), uint(ck.CKA_OUID)} {
		wanted = append(wanted, pkcs11.NewAttribute(t, nil))
	}
	list, err := g.p.GetAttributeValue(s, o, wanted)
	g.good(err)
	var all []byte
	for _, a := range list {
		all = append(append(all, a.Value...), '|')
	}
	return all
}

// An HSM is lost, and nothing is left but last night's archive and the domain in
// the safe. On a new HSM the application signs as if nothing had happened.
func TestHSMIsLost(t *testing.T) {
	setDomains(t)
	g := newGoverned(t)
	g.partition("app", "--domain env:DOMAIN")
	s := g.officer()
	private, err := g.pair(s, pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN)
	g.good(err)
	g.aes(s)
	known := g.attributes(s, private)

	// Each night an archive goes to another place. The application goes on.
	away := filepath.Join(t.TempDir(), "nightly.parc")
	backup := "partition archive backup --partition app --pin env:CO --file " + away
	if out := g.perilune(backup); !strings.Contains(out, "has 3 objects") {
		t.Errorf("the first backup says %q", out)
	}
	g.aes(s)
	if out := g.perilune(backup + " --append"); !strings.Contains(out, "has 4 objects") || !strings.Contains(out, "1 were added") {
		t.Errorf("the second backup says %q", out)
	}
	digest := []byte("message")
	mechanism := []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_SHA256_RSA_PKCS, nil)}
	g.good(g.p.SignInit(s, mechanism, private))
	signature, err := g.p.Sign(s, digest)
	g.good(err)

	// The HSM burns.
	g.good(g.p.Finalize())
	g.good(os.RemoveAll(filepath.Join(g.dir, "home")))

	// The new one gets a partition with the domain, and the archive.
	n := newGoverned(t)
	n.partition("app", "--domain env:DOMAIN")
	if out := n.perilune("partition archive restore --partition app --pin env:CO --file " + away); !strings.Contains(out, "4 were restored") {
		t.Errorf("the restore says %q", out)
	}
	s = n.officer()
	keys := n.find(s, pkcs11.CKO_PRIVATE_KEY)
	if len(keys) != 1 || len(n.find(s, pkcs11.CKO_SECRET_KEY)) != 2 {
		t.Fatalf("private keys %v, secret keys %v", keys, n.find(s, pkcs11.CKO_SECRET_KEY))
	}
	if got := n.attributes(s, keys[0]); !bytes.Equal(got, known) {
		t.Errorf("the key was\n%x, and is\n%x", known, got)
	}
	n.good(n.p.SignInit(s, mechanism, keys[0]))
	again, err := n.p.Sign(s, digest)
	n.good(err)
	if !bytes.Equal(signature, again) {
		t.Error("the key signs otherwise")
	}
	n.good(n.p.VerifyInit(s, mechanism, n.find(s, pkcs11.CKO_PUBLIC_KEY)[0]))
	n.good(n.p.Verify(s, digest, signature))
}

// Somebody mistypes a domain. Cloning gives one error for each object, as on
// devices, and nothing arrives; an archive is refused as a whole, where devices
// would leave an empty backup partition behind.
func TestAnotherDomain(t *testing.T) {
	setDomains(t)
	g := newGoverned(t)
	g.partition("typo", "--domain env:OTHER")
	mistyped := g.slot
	g.partition("app", "--domain env:DOMAIN")
	s := g.officer()
	_, err := g.pair(s, pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN)
	g.good(err)
	g.aes(s)
	archive := filepath.Join(g.dir, "app.parc")
	g.perilune("partition archive backup --partition app --pin env:CO --file " + archive)
	before, err := os.ReadFile(archive)
	g.good(err)

	clone := "partition clone --partition app --objects all --to typo --pin env:CO --to-pin env:CO"
	g.refused(clone, "CKR_UNWRAPPING_ERROR", "3 of 3 objects were not cloned")
	if out, _ := g.try(clone); strings.Count(out, "CKR_UNWRAPPING_ERROR") != 3 {
		t.Errorf("not one error for each object:\n%s", out)
	}
	for _, line := range []string{"restore", "contents", "backup --append"} {
		line = "partition archive " + line + " --partition typo --pin env:CO --file " + archive
		g.refused(line, "CKR_UNWRAPPING_ERROR", "another cloning domain")
		if out, _ := g.try(line); strings.Count(out, "CKR_UNWRAPPING_ERROR") != 1 {
			t.Errorf("perilune %s: not one error:\n%s", line, out)
		}
	}
	if after, err := os.ReadFile(archive); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the archive changed: %v", err)
	}
	g.slot = mistyped
	s = g.officer()
	for _, class := range []uint{pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY, pkcs11.CKO_SECRET_KEY} {
		if found := g.find(s, class); len(found) > 0 {
			t.Errorf("objects arrived: %v", found)
		}
	}
	entries, err := os.ReadDir(filepath.Join(g.dir, "home"))
	g.good(err)
	for _, e := range entries {
		if e.Name() == "archives" {
			t.Error("something was left in the HSM's home")
		}
	}

	// With the right domain all goes well. The domain of a partition cannot be
	// changed, so it is initialised anew.
	g.good(g.p.CloseAllSessions(mistyped))
	g.refused("partition set-domain --partition typo --domain env:DOMAIN --pin env:CO", "CKR_CLONING_PARAMETER_ALREADY_EXISTS")
	g.perilune("partition init --partition typo --so-pin env:SO --label typo --domain env:DOMAIN --force")
	g.perilune("role init --role co --so-pin env:SO --new-pin env:FIRST --partition typo")
	g.perilune("role changepw --role co --pin env:FIRST --new-pin env:CO --partition typo")
	if out := g.perilune(clone); strings.Count(out, "is now handle") != 3 {
		t.Errorf("the clone says:\n%s", out)
	}
	if out := g.perilune("partition archive restore --partition typo --pin env:CO --file " + archive); !strings.Contains(out, "3 were there already") {
		t.Errorf("the clones are not known as what is in the archive: %s", out)
	}
}

package slhdsa

import (
	"bytes"
	"testing"

	circl "github.com/cloudflare/circl/sign/slhdsa"
)

var sets = map[circl.ID]*Parameters{
	circl.SHA2_128s: SHA2128s, circl.SHA2_128f: SHA2128f, circl.SHA2_192s: SHA2192s,
	circl.SHA2_192f: SHA2192f, circl.SHA2_256s: SHA2256s, circl.SHA2_256f: SHA2256f,
	circl.SHAKE_128s: SHAKE128s, circl.SHAKE_128f: SHAKE128f, circl.SHAKE_192s: SHAKE192s,
	circl.SHAKE_192f: SHAKE192f, circl.SHAKE_256s: SHAKE256s, circl.SHAKE_256f: SHAKE256f,
}

// TestAgainstLibrary compares lengths in all parameter sets, and signatures in
// the fastest ones. (Published signatures are in the tests of package engine.)
func TestAgainstLibrary(t *testing.T) {
	for id, p := range sets {
		s := id.Scheme()
		if p.PublicSize() != s.PublicKeySize() || p.PrivateSize() != s.PrivateKeySize() || p.SignatureSize() != s.SignatureSize() {
			t.Errorf("%v: lengths", id)
		}
		if id != circl.SHA2_128f && id != circl.SHAKE_128f && id != circl.SHA2_192f {
			continue
		}
		seed := bytes.Repeat([]byte{7}, p.SeedSize())
		pub, priv, err := circl.GenerateKey(bytes.NewReader(seed), id)
		if err != nil {
			t.Fatal(err)
		}
		theirs, _ := priv.MarshalBinary()
		private, err := p.NewKey(seed)
		if err != nil || !bytes.Equal(private, theirs) {
			t.Fatalf("%v: another key (%v)", id, err)
		}
		sig, err := p.Sign(private, []byte("\x00\x00abc"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if want, err := circl.SignDeterministic(&priv, circl.NewMessage([]byte("abc")), nil); err != nil || !bytes.Equal(sig, want) {
			t.Errorf("%v: another signature (%v)", id, err)
		}
		hedged, err := p.Sign(private, []byte("\x00\x00abc"), make([]byte, p.RandomSize()))
		if err != nil || bytes.Equal(hedged, sig) || !circl.Verify(&pub, circl.NewMessage([]byte("abc")), hedged, nil) {
			t.Errorf("%v: hedged signature (%v)", id, err)
		}
		public := private[len(private)-p.PublicSize():]
		testVerify(t, p, public, sig)
	}
}

func testVerify(t *testing.T, p *Parameters, public, sig []byte) {
	t.Helper()
	message := []byte("\x00\x00abc")
	if !p.Verify(public, message, sig) {
		t.Error("a good signature")
	}
	if p.Verify(public, message[:4], sig) || p.Verify(public[1:], message, sig) {
		t.Error("another message, a short key")
	}
	trees := p.n + p.forsSize()
	for _, at := range []int{0, p.n, trees - 1, trees, trees + p.chains()*p.n, len(sig) - 1} {
		bad := bytes.Clone(sig)
		bad[at] ^= 1
		if p.Verify(public, message, bad) {
			t.Errorf("byte %d changed", at)
		}
	}
	if p.Verify(public, message, sig[1:]) || p.Verify(public, message, append(bytes.Clone(sig), 0)) {
		t.Error("length of the signature")
	}
}

func TestLengths(t *testing.T) {
	p := SHA2128f
	if _, err := p.NewKey(make([]byte, 47)); err == nil {
		t.Error("short seed")
	}
	if _, err := p.Sign(make([]byte, 63), nil, nil); err == nil {
		t.Error("short key")
	}
	if _, err := p.Sign(make([]byte, 64), nil, make([]byte, 15)); err == nil {
		t.Error("short randomness")
	}
}

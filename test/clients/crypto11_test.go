package clients

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/ThalesGroup/crypto11"
	"github.com/miekg/pkcs11"
)

func init() { children["crypto11"] = crypto11Tour }

// TestCrypto11 is a tour with github.com/ThalesGroup/crypto11, which gives Go
// programs crypto.Signer, cipher.AEAD and the like on a token.
func TestCrypto11(t *testing.T) {
	onEachModule(t, nil, func(c *client) { c.goChild("crypto11") })
}

func crypto11Tour(r *reporter, tok childToken) {
	config := &crypto11.Config{Path: tok.library, TokenLabel: tok.label, Pin: tok.pin}
	var ctx *crypto11.Context
	r.step("configure", func() { ctx = must2(crypto11.Configure(config)) })
	digest := sha256.Sum256([]byte("a message to sign"))

	var rsaKey crypto11.SignerDecrypter
	r.step("RSA key pair", func() {
		rsaKey = must2(ctx.GenerateRSAKeyPairWithLabel([]byte{1}, []byte("rsa"), 2048))
		key := rsaKey.Public().(*rsa.PublicKey)
		must(rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], must2(rsaKey.Sign(rand.Reader, digest[:], crypto.SHA256))))
		pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
		must(rsa.VerifyPSS(key, crypto.SHA256, digest[:], must2(rsaKey.Sign(rand.Reader, digest[:], pss)), pss))
	})
	r.step("RSA decryption", func() {
		key := rsaKey.Public().(*rsa.PublicKey)
		//lint:ignore SA1019 what is tested is the decryption of what others still send
		sealed := must2(rsa.EncryptPKCS1v15(rand.Reader, key, digest[:]))
		check(bytes.Equal(must2(rsaKey.Decrypt(rand.Reader, sealed, nil)), digest[:]), "another plaintext comes back")
	})
	for name, hash := range map[string]crypto.Hash{"SHA-1": crypto.SHA1, "SHA-256": crypto.SHA256} {
		r.step("OAEP "+name, func() {
			sealed := must2(rsa.EncryptOAEP(hash.New(), rand.Reader, rsaKey.Public().(*rsa.PublicKey), digest[:], nil))
			check(bytes.Equal(must2(rsaKey.Decrypt(rand.Reader, sealed, &rsa.OAEPOptions{Hash: hash})), digest[:]), "another plaintext comes back")
		})
	}
	var ecKey crypto11.Signer
	for _, curve := range []elliptic.Curve{elliptic.P521(), elliptic.P384(), elliptic.P256()} {
		name := curve.Params().Name
		r.step("ECDSA "+name, func() {
			ecKey = must2(ctx.GenerateECDSAKeyPairWithLabel([]byte{2, byte(curve.Params().BitSize / 8)}, []byte(name), curve))
			check(ecdsa.VerifyASN1(ecKey.Public().(*ecdsa.PublicKey), digest[:], must2(ecKey.Sign(rand.Reader, digest[:], crypto.SHA256))), "the signature is wrong")
		})
	}
	r.step("find keys", func() {
		check(len(must2(ctx.FindAllKeyPairs())) == 4, "not four key pairs")
		found := must2(ctx.FindKeyPair([]byte{1}, []byte("rsa")))
		check(found != nil && found.Public().(*rsa.PublicKey).Equal(rsaKey.Public()), "another key is found")
		_, err := ctx.FindKeyPair(nil, []byte("nothing"))
		check(err != nil, "a key that is not there is found")
		attribute := must2(ctx.GetAttribute(rsaKey, crypto11.CkaLabel))
		check(string(attribute.Value) == "rsa", "the label is %q", attribute.Value)
	})
	r.step("AES-GCM", func() {
		key := must2(ctx.GenerateSecretKeyWithLabel([]byte{3}, []byte("aes"), 256, crypto11.CipherAES))
		aead := must2(key.NewGCM())
		nonce := randomBytes(aead.NonceSize())
		sealed := aead.Seal(nil, nonce, digest[:], []byte("header"))
		check(bytes.Equal(must2(aead.Open(nil, nonce, sealed, []byte("header"))), digest[:]), "another plaintext comes back")
		_, err := aead.Open(nil, nonce, sealed, []byte("another"))
		check(err != nil, "another header is accepted")
	})
	r.step("AES-CBC", func() {
		key := must2(ctx.FindKey([]byte{3}, nil))
		iv := randomBytes(aes.BlockSize)
		encrypter := must2(key.NewCBCEncrypterCloser(iv))
		defer encrypter.Close()
		decrypter := must2(key.NewCBCDecrypterCloser(iv))
		defer decrypter.Close()
		text := randomBytes(160)
		sealed, opened := make([]byte, len(text)), make([]byte, len(text))
		for _, mode := range []struct {
			cipher.BlockMode
			from, to []byte
		}{{encrypter, text, sealed}, {decrypter, sealed, opened}} {
			mode.CryptBlocks(mode.to[:80], mode.from[:80])
			mode.CryptBlocks(mode.to[80:], mode.from[80:])
		}
		check(bytes.Equal(opened, text) && !bytes.Equal(sealed, text), "another plaintext comes back")
	})
	r.step("HMAC", func() {
		key := must2(ctx.GenerateSecretKeyWithLabel([]byte{4}, []byte("hmac"), 256, crypto11.CipherGeneric))
		mac := func() []byte {
			h := must2(key.NewHMAC(pkcs11.CKM_SHA256_HMAC, 0))
			h.Write(digest[:])
			return h.Sum(nil)
		}
		check(len(mac()) == 32 && hmac.Equal(mac(), mac()), "two MACs of the same message differ")
	})
	r.step("random", func() {
		check(!bytes.Equal(must2(io.ReadAll(io.LimitReader(must2(ctx.NewRandomReader()), 40))), make([]byte, 40)), "not random")
	})
	r.step("TLS with a certificate of the token", func() {
		for i, key := range []crypto11.Signer{rsaKey, ecKey} {
			id := []byte{1}
			if i == 1 {
				id = []byte{2, 32}
			}
			template := &x509.Certificate{
				SerialNumber: big.NewInt(int64(i) + 1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
				NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
			}
			certificate := must2(x509.ParseCertificate(must2(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))))
			must(ctx.ImportCertificate(id, certificate))
			check(must2(ctx.FindCertificate(id, nil, nil)).Equal(certificate), "another certificate is found")
		}
		pairs := must2(ctx.FindAllPairedCertificates())
		check(len(pairs) == 2, "%d certificates have a key, and not 2", len(pairs))
		for _, pair := range pairs {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				must(handshake(pair, version))
			}
		}
	})
	r.step("many threads", func() {
		var wg sync.WaitGroup
		errs := make([]error, 32)
		for i := range errs {
			wg.Go(func() {
				for range 10 {
					signature, err := ecKey.Sign(rand.Reader, digest[:], crypto.SHA256)
					if err == nil && !ecdsa.VerifyASN1(ecKey.Public().(*ecdsa.PublicKey), digest[:], signature) {
						err = errors.New("a signature is wrong")
					}
					errs[i] = errors.Join(errs[i], err)
				}
			})
		}
		wg.Wait()
		must(errors.Join(errs...))
	})
	r.step("close and configure again", func() {
		must(ctx.Close())
		ctx = must2(crypto11.Configure(config))
		key := must2(ctx.FindKeyPair([]byte{1}, nil))
		must(rsa.VerifyPKCS1v15(rsaKey.Public().(*rsa.PublicKey), crypto.SHA256, digest[:], must2(key.Sign(rand.Reader, digest[:], crypto.SHA256))))
	})
	r.step("delete", func() {
		for _, key := range must2(ctx.FindAllKeyPairs()) {
			must(key.Delete())
		}
		for _, key := range must2(ctx.FindAllKeys()) {
			must(key.Delete())
		}
		check(len(must2(ctx.FindAllKeyPairs()))+len(must2(ctx.FindAllKeys())) == 0, "deleted keys are still there")
		must(ctx.DeleteCertificate([]byte{1}, nil, nil))
		must(ctx.Close())
	})
}

// handshake lets a server with the certificate and a client who trusts it
// meet in memory.
func handshake(certificate tls.Certificate, version uint16) error {
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: version, MaxVersion: version})
	client := tls.Client(near, &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: version, MaxVersion: version})
	served := make(chan error, 1)
	go func() {
		_, err := server.Write([]byte("hello"))
		served <- err
	}()
	if _, err := io.ReadFull(client, make([]byte, 5)); err != nil {
		return err
	}
	return <-served
}

package audit

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Secret is a log secret on its way to another HSM, in a file of the name
// SERIAL.lws. With it goes the newest record at the time, so that whoever
// verifies knows how far the log must reach.
type Secret struct {
	Serial string // of the HSM whose log it is
	Secret []byte
	Head   Head
}

// The form: magic, cost of Argon2id (passes, KiB, threads), salt, nonce, and
// under AES-256-GCM the head's sequence and link, the secret and the serial.
const (
	secretMagic = "PRLNLWS\x01"
	secretPlain = 8 + 32 + SecretSize
	saltAt      = 20
	nonceAt     = saltAt + 16
	sealedAt    = nonceAt + 12
	maxSerial   = 32
	// MaxSecretFile is more than any file of a log secret has.
	MaxSecretFile = sealedAt + secretPlain + maxSerial + 16
)

// The cost of trying a domain. Files with a higher one than the limits are
// refused, as they would keep the HSM busy.
const (
	exportPasses  = 3
	exportKiB     = 64 << 10
	exportThreads = 1
	limitPasses   = 64
	limitKiB      = 1 << 20
)

// Why a file of a log secret cannot be used.
var (
	ErrSecretForm = errors.New("this is no file of a log secret")
	ErrDomain     = errors.New("the file was changed, or exported under another audit domain")
)

// SecretFileName is the name of the file for an HSM's secret.
func SecretFileName(serial string) string { return serial + ".lws" }

// Export encrypts and authenticates a log secret under an audit domain.
func (s *Secret) Export(domain []byte) ([]byte, error) {
	if len(s.Secret) != SecretSize || len(s.Serial) == 0 || len(s.Serial) > maxSerial {
		return nil, errors.New("a log secret has 32 bytes and belongs to an HSM")
	}
	le := binary.LittleEndian
	b := append(make([]byte, 0, MaxSecretFile), secretMagic...)
	b = le.AppendUint32(b, exportPasses)
	b = le.AppendUint32(b, exportKiB)
	b = le.AppendUint32(b, exportThreads)
	b = b[:sealedAt]
	rand.Read(b[saltAt:])
	aead, err := domainCipher(b, domain)
	if err != nil {
		return nil, err
	}
	plain := le.AppendUint64(nil, s.Head.Sequence)
	plain = append(plain, s.Head.Link[:]...)
	plain = append(plain, s.Secret...)
	defer clear(plain)
	plain = append(plain, s.Serial...)
	return aead.Seal(b, b[nonceAt:sealedAt], plain, b[:sealedAt]), nil
}

func domainCipher(header, domain []byte) (cipher.AEAD, error) {
	le := binary.LittleEndian
	key := argon2.IDKey(domain, header[saltAt:nonceAt], le.Uint32(header[8:]), le.Uint32(header[12:]), uint8(le.Uint32(header[16:])), 32)
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// checkSecretHeader refuses what is no file of a log secret, before any work.
func checkSecretHeader(file []byte) error {
	if len(file) < sealedAt+secretPlain+1+16 || len(file) > MaxSecretFile || string(file[:len(secretMagic)]) != secretMagic {
		return ErrSecretForm
	}
	le := binary.LittleEndian
	passes, kib, threads := le.Uint32(file[8:]), le.Uint32(file[12:]), le.Uint32(file[16:])
	if passes == 0 || passes > limitPasses || threads == 0 || threads > 255 || kib < 8*threads || kib > limitKiB {
		return fmt.Errorf("%w: it asks for %d passes over %d KiB", ErrSecretForm, passes, kib)
	}
	return nil
}

// ImportSecret opens what Export made under the same domain.
func ImportSecret(file, domain []byte) (*Secret, error) {
	if err := checkSecretHeader(file); err != nil {
		return nil, err
	}
	aead, err := domainCipher(file, domain)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, file[nonceAt:sealedAt], file[sealedAt:], file[:sealedAt])
	if err != nil {
		return nil, ErrDomain
	}
	s := &Secret{Serial: string(plain[secretPlain:]), Secret: plain[40:secretPlain:secretPlain]}
	s.Head.Sequence = binary.LittleEndian.Uint64(plain)
	copy(s.Head.Link[:], plain[8:])
	if strings.Trim(s.Serial, "0123456789") != "" {
		return nil, ErrSecretForm
	}
	return s, nil
}

package softhsm2

import (
	"bytes"
	"crypto/aes"
	"crypto/sha256"

	"github.com/perilune/perilune/migrate/pbe"
)

// The token's key is stored once for each PIN: eight bytes of salt, an IV, and
// what AES-256-CBC makes of magic and the key. Values of private objects are an
// IV and what AES-256-CBC makes of them, under the token's key.
const (
	saltSize   = 8
	iterations = 1500
	keySize    = 32
)

var magic = []byte("RJR")

// openKey finds the token's key.
func openKey(wrapped, pin []byte) ([]byte, error) {
	if len(wrapped) < saltSize {
		return nil, errDamaged
	}
	kek := derive(pin, wrapped[:saltSize])
	defer clear(kek)
	plain, err := openValue(kek, wrapped[saltSize:])
	if err != nil || len(plain) != len(magic)+keySize || !bytes.HasPrefix(plain, magic) {
		return nil, ErrPIN
	}
	return plain[len(magic):], nil
}

// derive makes a key of a PIN, with hashes of hashes; the last byte of the salt
// adds to their number.
func derive(pin, salt []byte) []byte {
	sum := sha256.Sum256(append(bytes.Clone(salt), pin...))
	for range iterations + int(salt[saltSize-1]) - 1 {
		sum = sha256.Sum256(sum[:])
	}
	return sum[:]
}

// openValue decrypts an IV and what follows it.
func openValue(key, data []byte) ([]byte, error) {
	if len(data) < aes.BlockSize {
		return nil, errDamaged
	}
	plain, err := pbe.OpenAES256(key, data[:aes.BlockSize], data[aes.BlockSize:])
	if err != nil {
		return nil, errDamaged
	}
	return plain, nil
}

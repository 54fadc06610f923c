package softhsm2

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
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

// openValue decrypts and removes the padding.
func openValue(key, data []byte) ([]byte, error) {
	const size = aes.BlockSize
	if len(data) < 2*size || len(data)%size != 0 {
		return nil, errDamaged
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(data)-size)
	cipher.NewCBCDecrypter(block, data[:size]).CryptBlocks(plain, data[size:])
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > size || !bytes.Equal(plain[len(plain)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, errDamaged
	}
	return plain[:len(plain)-pad], nil
}

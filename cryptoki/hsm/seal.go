package hsm

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/store"
)

// spaceKeys seal the records of one kind in one space and index them.
type spaceKeys struct {
	aead   cipher.AEAD
	search []byte
}

// newSpaceKeys derives both keys from a 32-byte secret.
func newSpaceKeys(secret []byte) (*spaceKeys, error) {
	sealing, err := hkdf.Key(sha256.New, secret, nil, "perilune seal", 32)
	if err != nil {
		return nil, err
	}
	search, err := hkdf.Key(sha256.New, secret, nil, "perilune search", 32)
	if err != nil {
		return nil, err
	}
	aead, err := newAEAD(sealing)
	if err != nil {
		return nil, err
	}
	return &spaceKeys{aead: aead, search: search}, nil
}

// newAEAD is AES-256-GCM with a random nonce before the ciphertext. One key
// seals far fewer than the 2^32 messages that random nonces allow.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

const sealVersion = 1

var errUnsealed = errors.New("the record does not open: it is damaged, or another key sealed it")

// seal puts plaintext into r.Sealed, bound to the record's identity and version.
func (k *spaceKeys) seal(r *store.Record, plaintext []byte) {
	out := make([]byte, 1, 1+len(plaintext)+k.aead.Overhead())
	out[0] = sealVersion
	r.Sealed = k.aead.Seal(out, nil, plaintext, recordAAD(r))
}

// open returns what seal was given.
func (k *spaceKeys) open(r *store.Record) ([]byte, error) {
	if len(r.Sealed) < 1 || r.Sealed[0] != sealVersion {
		return nil, fmt.Errorf("record %d: unknown form: %w", r.Ref, store.ErrCorrupt)
	}
	plaintext, err := k.aead.Open(nil, nil, r.Sealed[1:], recordAAD(r))
	if err != nil {
		return nil, fmt.Errorf("record %d: %w: %w", r.Ref, errUnsealed, store.ErrCorrupt)
	}
	return plaintext, nil
}

func recordAAD(r *store.Record) []byte {
	b := append(make([]byte, 0, 48), "perilune record"...)
	b = append(b, byte(r.Kind))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.Space))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.Ref))
	return binary.LittleEndian.AppendUint64(b, r.Version)
}

// term is the entry of the blind index for an attribute and its value.
func (k *spaceKeys) term(t ck.AttributeType, value []byte) (term store.Term) {
	mac := hmac.New(sha256.New, k.search)
	var prefix [8]byte
	binary.LittleEndian.PutUint64(prefix[:], uint64(t))
	mac.Write(prefix[:])
	mac.Write(value)
	var sum [sha256.Size]byte
	copy(term[:], mac.Sum(sum[:0]))
	return term
}

// stateKey seals what C_GetOperationState gives away. It depends on the root
// key only, so that another process of the same HSM can restore a state.
func (h *HSM) stateKey() cipher.AEAD { return h.states }

package hsm

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/argon2"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

// A cloning domain is a text that people type. Partitions with the same one, on
// any HSM, can clone to each other and read each other's archives. So its key
// depends on the text alone: salt and cost are the same everywhere and for ever.
const domainSalt = "perilune cloning domain 1"

// domainCost is the second choice of RFC 9106 section 4. It is paid when a
// domain is set, and by whoever guesses, once for each guess.
var domainCost = PasswordCost{Passes: 3, MemoryKiB: 64 * 1024, Threads: 4}

// maxDomain is the greatest length of a domain in characters.
const maxDomain = 128

// domainChars are the characters of a domain besides letters and digits. A space
// is neither the first nor the last.
const domainChars = `!@#$%^*-_=+[]{}/:',.~ `

// checkDomain is for audit domains too.
func checkDomain(domain []byte) error {
	ok := len(domain) >= 1 && len(domain) <= maxDomain && alphabet(domainChars).allows(domain)
	if !ok || bytes.HasSuffix(domain, []byte(" ")) {
		return fmt.Errorf("a domain has 1 to %d letters, digits, inner spaces and %s: %w",
			maxDomain, domainChars[:len(domainChars)-1], ck.CKR_ARGUMENTS_BAD)
	}
	return nil
}

// domainKey is the 32 bytes that stand for a domain.
func domainKey(domain []byte) ([]byte, error) {
	if err := checkDomain(domain); err != nil {
		return nil, err
	}
	return stretchDomain(domain, []byte(domainSalt), domainCost.Passes, domainCost.MemoryKiB, domainCost.Threads, 32), nil
}

// stretchDomain is a variable so that tests need not pay for the same domain
// again and again.
var stretchDomain = argon2.IDKey

// domainAEAD keeps a domain's key among the records of a partition: only who
// holds the partition key can use it.
func domainAEAD(secret []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "perilune domain", 32)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return newAEAD(key)
}

// wrapDomain seals a domain's key under the partition key; nil for no domain.
func wrapDomain(domain, secret []byte) ([]byte, error) {
	if domain == nil {
		return nil, nil
	}
	key, err := domainKey(domain)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	aead, err := domainAEAD(secret)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, key, []byte("cloning domain")), nil
}

// newAdminDomain is the domain that the HSM SO gives the administration when he
// initialises the HSM anew; nil for none. Nothing is cloned to or from the
// administration yet; but whoever initialises an HSM gives it its domain.
func (h *HSM) newAdminDomain(domain []byte) ([]byte, error) {
	if domain == nil {
		return nil, nil
	}
	p, err := h.partition(p11.AdminSlot)
	if err != nil {
		return nil, err
	}
	secret := p.copySecret()
	defer clear(secret)
	if len(secret) == 0 {
		return nil, deny(refuseRole, "the %s was made by a version without cloning domains, and can keep none; zeroize the HSM first", p11.RoleHSMSO)
	}
	return wrapDomain(domain, secret)
}

// domain returns the key of the partition's domain, which the caller clears. It
// needs somebody logged in who holds the partition key.
func (p *partition) domain() ([]byte, error) {
	p.mu.RLock()
	secret, wrap := bytes.Clone(p.who().secret), p.state.Domain
	p.mu.RUnlock()
	defer clear(secret)
	switch {
	case len(wrap) == 0:
		return nil, deny(refuseDomainMissing, "partition %q has no cloning domain", p.name())
	case len(secret) == 0:
		return nil, deny(refuseNotLoggedIn, "nobody is logged in")
	}
	aead, err := domainAEAD(secret)
	if err != nil {
		return nil, err
	}
	key, err := aead.Open(nil, nil, wrap, []byte("cloning domain"))
	if err != nil {
		return nil, fmt.Errorf("the cloning domain of partition %d does not open: %w: %w", p.space, ck.CKR_DEVICE_ERROR, store.ErrCorrupt)
	}
	return key, nil
}

// handleSetCloningDomain gives a domain to a partition that was initialised
// without one. No domain is ever changed: whoever could, could read what was
// meant for another.
func (h *HSM) handleSetCloningDomain(ctx context.Context, s *session, q *p11.SetCloningDomain, _ *p11.None) error {
	p := s.part
	p.mu.RLock()
	secret, state := bytes.Clone(p.who().secret), p.state
	p.mu.RUnlock()
	defer clear(secret)
	if len(state.Domain) > 0 {
		return errDomainSet
	}
	if len(secret) == 0 {
		return deny(refuseRole, "the %s does not hold the partition key, under which the domain is kept; the %s does", s.role(), p11.RoleCryptoOfficer)
	}
	wrap, err := wrapDomain(q.Domain, secret)
	if err != nil {
		return err
	}
	err = h.store.Update(ctx, func(tx store.Tx) error {
		_, now, err := h.sameEpoch(tx, p, state.Epoch)
		if err != nil {
			return err
		}
		if len(now.Domain) > 0 {
			return errDomainSet // by another process, meanwhile
		}
		now.Domain = wrap
		return h.replaceMeta(tx, 0, kindPartition, &now.record, now)
	})
	if err != nil {
		return storeError(err)
	}
	return h.refresh(ctx)
}

var errDomainSet = deny(refuseDomainSet, "the partition has a cloning domain already; initialising it anew is the only way to another")

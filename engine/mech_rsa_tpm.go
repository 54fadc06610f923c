package engine

import (
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/ct"
)

// Encryption for a TPM 1.1 or 1.2 (PKCS#11 v3.1, sections 6.1.17 and 6.1.18):
// what is encrypted is a TPM_BOUND_DATA, the data with a version and a type
// before it (TPM Main, part 2, section 9.2).

// tpmHeader is version 1.1.0.0 and TPM_PT_BIND.
const tpmHeader = "\x01\x01\x00\x00\x02"

// tpmOAEP is OAEP as a TPM has it: SHA-1, and the four letters as a label.
var tpmOAEP = &OAEPParams{
	HashAlg: ck.CKM_SHA_1, MGF: ck.CKG_MGF1_SHA1,
	Source: ck.CKZ_DATA_SPECIFIED, SourceData: []byte("TCPA"),
}

func init() { later(rsaTpmMechanisms) }

func rsaTpmMechanisms() {
	register(
		tpmRow(ck.CKM_RSA_PKCS_TPM_1_1, nil, pkcs1Encrypt, pkcs1Decrypt),
		tpmRow(ck.CKM_RSA_PKCS_OAEP_TPM_1_1, tpmOAEP, oaepEncrypt, oaepDecrypt),
	)
}

// tpmRow is the mechanism over another one with the parameter p.
func tpmRow(m ck.MechanismType, p any, encrypt, decrypt func(*Key, any) (Op, error)) *Mechanism {
	e := func(k *Key, none any) (Op, error) {
		op, err := tpmInner(k, none, p, encrypt)
		if err != nil {
			return nil, err
		}
		return tpmSeal{op}, nil
	}
	d := func(k *Key, none any) (Op, error) {
		op, err := tpmInner(k, none, p, decrypt)
		if err != nil {
			return nil, err
		}
		return tpmOpen{op}, nil
	}
	return &Mechanism{
		Type: m,
		Keys: rsaKeys, Min: rsaMinBits, Max: rsaMaxBits,
		Encrypt:  e,
		Decrypt:  d,
		Wrap:     wrapping(e),
		Unwrap:   unwrapping(d),
		Wrapped:  Wrapped{SecretOnly: true},
		Vectors:  "none published; structure checked under CKM_RSA_PKCS and CKM_RSA_PKCS_OAEP",
		SelfTest: func() error { return testTPM(m, p, encrypt, decrypt) },
	}
}

func tpmInner(k *Key, none, p any, f func(*Key, any) (Op, error)) (Op, error) {
	if err := noParam(none); err != nil {
		return nil, err
	}
	return f(k, p)
}

type tpmSeal struct{ Op }

func (o tpmSeal) Finish(dst, src []byte) (int, error) {
	bound := append([]byte(tpmHeader), src...)
	defer clear(bound)
	return o.Op.Finish(dst, bound)
}

type tpmOpen struct{ Op }

func (o tpmOpen) FinishLen(n int) (int, bool) {
	limit, _ := o.Op.FinishLen(n)
	return max(limit-len(tpmHeader), 0), false
}

// Finish takes any version from 1.1 on, as the standard says. That a wrong header
// is an error tells nothing about a padding of PKCS #1 v1.5: what comes of a
// wrong one has a wrong header too.
func (o tpmOpen) Finish(dst, src []byte) (int, error) {
	limit, _ := o.Op.FinishLen(len(src))
	bound := make([]byte, limit)
	defer clear(bound)
	n, err := o.Op.Finish(bound, src)
	if err != nil {
		return 0, err
	}
	ct.Public(bound[:len(tpmHeader)])
	if n < len(tpmHeader) || bound[0] != 1 || bound[1] != 1 || bound[4] != tpmHeader[4] {
		return 0, ck.CKR_ENCRYPTED_DATA_INVALID
	}
	return copy(dst, bound[len(tpmHeader):n]), nil
}

package dl

import (
	"errors"
	"math/big"

	"filippo.io/bigmod"
)

// ErrOrder is for what only works in groups of known order.
var ErrOrder = errors.New("dl: the order of the group is not known")

// Shared is the shared secret y^x of Diffie-Hellman, as long as p (NIST SP
// 800-56A, section 5.7.1.1). y is checked; x comes from CheckPrivate.
func (g *Group) Shared(y, x []byte) ([]byte, error) {
	y, err := g.CheckPublic(y)
	if err != nil {
		return nil, err
	}
	n, err := g.element(y)
	if err != nil {
		return nil, err
	}
	return g.secret(g.exp(n, x))
}

// secret refuses the shared secrets 0, 1 and p-1, which elements of small order
// give.
func (g *Group) secret(z *bigmod.Nat) ([]byte, error) {
	if isTrue(z.IsZero() | z.IsOne() | z.IsMinusOne(g.p)) {
		return nil, ErrPublic
	}
	return z.Bytes(g.p), nil
}

// MQV is the shared secret of Menezes, Qu and Vanstone (NIST SP 800-56A, section
// 5.7.2.1), as long as p, from the static key x, the ephemeral keys r and t, and
// the static and ephemeral public keys of the other party. The public keys are
// checked; x and r come from CheckPrivate.
func (g *Group) MQV(x, r, t, otherStatic, otherEphemeral []byte) ([]byte, error) {
	if g.q == nil {
		return nil, ErrOrder
	}
	for _, y := range []*[]byte{&t, &otherStatic, &otherEphemeral} {
		var err error
		if *y, err = g.CheckPublic(*y); err != nil {
			return nil, err
		}
	}
	exponent, err := g.mqvExponent(x, r, t)
	if err != nil {
		return nil, err
	}
	// The base is public: t_B * y_B^(T_B).
	b := new(big.Int).SetBytes(otherStatic)
	b.Exp(b, new(big.Int).SetBytes(g.half(otherEphemeral)), g.bp)
	b.Mul(b, new(big.Int).SetBytes(otherEphemeral)).Mod(b, g.bp)
	base, err := g.element(b.Bytes())
	if err != nil {
		return nil, err
	}
	return g.secret(g.exp(base, exponent))
}

// mqvExponent is r + T*x mod q.
func (g *Group) mqvExponent(x, r, t []byte) ([]byte, error) {
	xn, err := bigmod.NewNat().SetBytes(x, g.q)
	if err != nil {
		return nil, ErrPrivate
	}
	rn, err := bigmod.NewNat().SetBytes(r, g.q)
	if err != nil {
		return nil, ErrPrivate
	}
	tn, err := bigmod.NewNat().SetBytes(g.half(t), g.q)
	if err != nil {
		return nil, ErrOrder
	}
	return xn.Mul(tn, g.q).Add(rn, g.q).Bytes(g.q), nil
}

// half is (t mod 2^w) + 2^w, for w half the length of q, rounded up.
func (g *Group) half(t []byte) []byte {
	w := uint((g.OrderBits() + 1) / 2)
	power := new(big.Int).Lsh(one, w)
	n := new(big.Int).SetBytes(t)
	return n.Mod(n, power).Add(n, power).Bytes()
}

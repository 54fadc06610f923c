package engine

import (
	"bytes"
	"crypto/elliptic"
	_ "embed"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
	"sync"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/engine/internal/weierstrass"
)

// The curves over prime fields that package weierstrass computes with.

//go:embed curves_prime.txt
var primeCurvesText string

// primeCurves are those of the file.
func primeCurves() (list []*curve) {
	for section := range strings.SplitSeq(primeCurvesText, "\n[") {
		if names, lines, ok := strings.Cut(section, "]\n"); ok && section[0] != '#' {
			list = append(list, namedPrimeCurve(strings.Fields(names), lines))
		}
	}
	return list
}

// completeNIST gives the curves of the standard library what it does not have.
func completeNIST(list []*curve) {
	for _, c := range list {
		if c.nist != nil {
			c.prime = sync.OnceValue(func() *weierstrass.Params { return nistParams(c.nist.Params()) })
			c.group = sync.OnceValue(func() group { return mustPrimeGroup(c.prime()) })
		}
	}
}

// namedPrimeCurve makes a curve of its lines "name = value". The numbers are
// read when they are needed.
func namedPrimeCurve(names []string, lines string) *curve {
	value := map[string]string{}
	for line := range strings.Lines(lines) {
		if name, v, ok := strings.Cut(strings.TrimSpace(line), " = "); ok {
			value[name] = v
		}
	}
	first, _ := strconv.ParseUint(value["p"][:1], 16, 8)
	c := &curve{
		key:   ck.CKK_EC,
		names: names,
		oids:  strings.Fields(value["oid"]),
		bits:  4*(len(value["p"])-1) + bits.Len64(first),
	}
	c.size = (c.bits + 7) / 8
	c.prime = sync.OnceValue(func() *weierstrass.Params {
		h, _ := strconv.ParseUint(value["h"], 16, 64)
		return &weierstrass.Params{
			P: c.number(value["p"]), A: c.number(value["a"]), B: c.number(value["b"]), N: c.number(value["n"]), H: h,
			Base: append(append([]byte{4}, c.number(value["x"])...), c.number(value["y"])...),
		}
	})
	c.group = sync.OnceValue(func() group { return mustPrimeGroup(c.prime()) })
	return c
}

// number reads a hexadecimal number, as long as a coordinate at least.
func (c *curve) number(s string) []byte {
	n, _ := new(big.Int).SetString(s, 16) // the tests would notice
	return n.FillBytes(make([]byte, max(c.size, (n.BitLen()+7)/8)))
}

// mustPrimeGroup makes the arithmetic of parameters that are ours or checked.
func mustPrimeGroup(params *weierstrass.Params) group {
	g, err := weierstrass.New(params)
	if err != nil {
		panic("engine: " + err.Error())
	}
	return g
}

func nistParams(p *elliptic.CurveParams) *weierstrass.Params {
	size := (p.BitSize + 7) / 8
	base := append([]byte{4}, p.Gx.FillBytes(make([]byte, size))...)
	return &weierstrass.Params{
		P: p.P.Bytes(), A: new(big.Int).Sub(p.P, big.NewInt(3)).Bytes(), B: p.B.Bytes(), N: p.N.Bytes(), H: 1,
		Base: append(base, p.Gy.FillBytes(make([]byte, size))...),
	}
}

// primeCurveOf finds or makes the curve with the parameters that somebody
// gives.
func primeCurveOf(params *weierstrass.Params) (*curve, error) {
	for _, c := range curves() {
		if c.prime == nil || !sameEquation(c.prime(), params) {
			continue
		}
		// Another base for a known equation is a well-known attack on
		// verifiers: the base can be chosen so that its owner knows the private
		// value of anybody's point.
		if !c.sameBase(params) {
			return nil, errDomain
		}
		return c, nil
	}
	return userCurves.get(params)
}

func sameEquation(a, b *weierstrass.Params) bool {
	return sameNumber(a.P, b.P) && sameNumber(a.A, b.A) && sameNumber(a.B, b.B)
}

func sameNumber(a, b []byte) bool { return bytes.Equal(trimZeros(a), trimZeros(b)) }

func (c *curve) sameBase(params *weierstrass.Params) bool {
	base, err := c.decodePoint(params.Base)
	return err == nil && bytes.Equal(base, c.prime().Base) && sameNumber(params.N, c.prime().N) &&
		(params.H == 0 || params.H == c.prime().H)
}

// userCurves holds curves that users have defined. They take milliseconds to
// check, and tables are made for them, so that a curve should be one object for
// all its keys.
var userCurves = &curveCache{curves: map[string]*curve{}}

type curveCache struct {
	mu     sync.Mutex
	curves map[string]*curve // by ECParameters as we write them
}

// maxUserCurves bounds the memory that callers can fill with curves.
const maxUserCurves = 64

func (u *curveCache) get(params *weierstrass.Params) (*curve, error) {
	given := string(ecParameters(params, params.Base))
	return u.find(given, func() (*curve, error) { return userPrimeCurve(params) })
}

// find returns the curve with the parameters given, which check makes the first
// time.
func (u *curveCache) find(given string, check func() (*curve, error)) (*curve, error) {
	u.mu.Lock()
	c := u.curves[given]
	u.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c, err := check()
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.curves) >= maxUserCurves {
		clear(u.curves) // keys in use keep theirs
	}
	u.curves[given] = c
	return c, nil
}

func userPrimeCurve(params *weierstrass.Params) (*curve, error) {
	if err := weierstrass.Check(params); err != nil {
		return nil, errDomain
	}
	g := mustPrimeGroup(params)
	base, _ := g.Decode(params.Base)
	return &curve{
		key:          ck.CKK_EC,
		names:        []string{"user-defined curve"},
		bits:         g.FieldBits(),
		size:         (g.FieldBits() + 7) / 8,
		group:        func() group { return g },
		ecParameters: ecParameters(params, base),
	}, nil
}

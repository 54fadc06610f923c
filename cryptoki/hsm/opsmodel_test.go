package hsm

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// The model of one operation: what was fed to it and what came out, how its
// calls went so far, and whether its result waits for a larger buffer.
type opModel struct {
	active  bool
	mode    mode
	in, out []byte
	kept    []byte // the result that waits
	keptIn  []byte // the last input of the call that computed it
}

// modelKind is what the model knows of one kind of operation, here of
// CKM_AES_CBC_PAD, CKM_SHA256 and CKM_SHA256_HMAC.
type modelKind struct {
	op   p11.Operation
	mech *ck.Mechanism
	// ready is how many bytes are out when n went in and more may follow.
	ready func(n int) int
	// bound is how many bytes come out of n at most, exact whether always.
	bound func(n int) int
	exact bool
	// result is all that comes out, or an error.
	result func(in []byte) ([]byte, ck.RV)
}

var modelKinds = []modelKind{
	{
		op: p11.OpEncrypt, mech: mech(ck.CKM_AES_CBC_PAD, testIV), exact: true,
		ready:  func(n int) int { return n &^ 15 },
		bound:  func(n int) int { return n&^15 + 16 },
		result: func(in []byte) ([]byte, ck.RV) { return cbcPadded(in), ck.CKR_OK },
	},
	{
		op: p11.OpDecrypt, mech: mech(ck.CKM_AES_CBC_PAD, testIV),
		ready:  func(n int) int { return max(0, n-1) &^ 15 },
		bound:  func(n int) int { return n },
		result: cbcUnpadded,
	},
	{
		op: p11.OpDigest, mech: mech(ck.CKM_SHA256), exact: true,
		ready:  func(int) int { return 0 },
		bound:  func(int) int { return 32 },
		result: func(in []byte) ([]byte, ck.RV) { s := sha256.Sum256(in); return s[:], ck.CKR_OK },
	},
	{
		op: p11.OpSign, mech: mech(ck.CKM_SHA256_HMAC), exact: true,
		ready:  func(int) int { return 0 },
		bound:  func(int) int { return 32 },
		result: func(in []byte) ([]byte, ck.RV) { return hmacOf(in), ck.CKR_OK },
	},
	{
		op: p11.OpVerify, mech: mech(ck.CKM_SHA256_HMAC),
		result: func(in []byte) ([]byte, ck.RV) { return hmacOf(in), ck.CKR_OK },
	},
}

func cbcUnpadded(in []byte) ([]byte, ck.RV) {
	if len(in) == 0 || len(in)%16 != 0 {
		return nil, ck.CKR_ENCRYPTED_DATA_LEN_RANGE
	}
	block, _ := aes.NewCipher(testAESKey)
	out := bytes.Clone(in)
	cipher.NewCBCDecrypter(block, testIV).CryptBlocks(out, out)
	n := int(out[len(out)-1])
	if n < 1 || n > 16 || !bytes.Equal(out[len(out)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, ck.CKR_ENCRYPTED_DATA_INVALID
	}
	return out[:len(out)-n], ck.CKR_OK
}

// modelRun drives one HSM and its model.
type modelRun struct {
	*bench
	rnd      *rand.Rand
	sessions []*bench
	models   [][]opModel // by session and kind
	keys     map[p11.Operation]ck.ObjectHandle
	trace    []string
}

// TestOperationsAgainstModel sends random calls to several sessions and compares
// every answer with what a simple model says.
func TestOperationsAgainstModel(t *testing.T) {
	b := newBench(t)
	aesKey, mac := b.aes(), b.hmac()
	seeds, steps := 40, 400
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		r := &modelRun{
			bench: b, rnd: rand.New(rand.NewPCG(uint64(seed), 1)),
			keys: map[p11.Operation]ck.ObjectHandle{
				p11.OpEncrypt: aesKey, p11.OpDecrypt: aesKey, p11.OpSign: mac, p11.OpVerify: mac,
			},
		}
		for range 3 {
			r.sessions = append(r.sessions, b.open())
			r.models = append(r.models, make([]opModel, len(modelKinds)))
		}
		for range steps {
			r.step()
			if t.Failed() {
				for _, line := range r.trace[max(0, len(r.trace)-12):] {
					t.Log(line)
				}
				t.Fatalf("seed %d", seed)
			}
		}
		for _, s := range r.sessions {
			ok(b, &p11.CloseSession{Session: s.s})
		}
	}
}

func (r *modelRun) step() {
	i, k := r.rnd.IntN(len(r.sessions)), r.rnd.IntN(len(modelKinds))
	s, m, kind := r.sessions[i], &r.models[i][k], &modelKinds[k]
	switch n := r.rnd.IntN(20); {
	case n < 4:
		r.begin(s, m, kind)
	case n < 11:
		r.update(s, m, kind)
	case n < 14:
		r.finish(s, m, kind, true)
	case n < 18:
		r.finish(s, m, kind, false)
	case n < 19:
		r.dual(s, r.models[i])
	default:
		r.cancel(s, m, kind)
	}
}

// expect compares an answer.
func (r *modelRun) expect(what string, rv ck.RV, n int, wantRV ck.RV, wantN int) {
	r.trace = append(r.trace, fmt.Sprintf("%s: %v, %d", what, rv, n))
	if rv != wantRV || n != wantN {
		r.t.Errorf("%s: got %v, %d; want %v, %d", what, rv, n, wantRV, wantN)
	}
}

func (r *modelRun) name(s *bench, kind *modelKind, call string) string {
	return fmt.Sprintf("session %d, operation %d, %s", s.s, kind.op, call)
}

func (r *modelRun) begin(s *bench, m *opModel, kind *modelKind) {
	_, err := p11.Call(context.Background(), r.h, &p11.Begin{Session: s.s, Op: kind.op, Mechanism: kind.mech, Key: r.keys[kind.op]})
	want := ck.CKR_OK
	if m.active {
		want = ck.CKR_OPERATION_ACTIVE
	} else {
		*m = opModel{active: true}
	}
	r.expect(r.name(s, kind, "begin"), ck.RVOf(err), 0, want, 0)
}

func (r *modelRun) cancel(s *bench, m *opModel, kind *modelKind) {
	_, err := p11.Call(context.Background(), r.h, &p11.Begin{Session: s.s, Op: kind.op})
	*m = opModel{}
	r.expect(r.name(s, kind, "cancel"), ck.RVOf(err), 0, ck.CKR_OK, 0)
}

// input is something to feed: for decryption mostly a piece of a ciphertext
// that will come out right.
func (r *modelRun) input(m *opModel, kind *modelKind, all bool) []byte {
	n := r.rnd.IntN(50)
	if kind.op != p11.OpDecrypt || r.rnd.IntN(8) == 0 {
		return bytes.Repeat([]byte{byte(n)}, n)
	}
	ct := cbcPadded(bytes.Repeat([]byte{7}, 40))
	rest := ct[min(len(m.in), len(ct)):]
	if all {
		return rest
	}
	return rest[:min(n, len(rest))]
}

// buffer is an output buffer for something that takes about n bytes.
func (r *modelRun) buffer(n int) p11.Output {
	if r.rnd.IntN(6) == 0 {
		return p11.Output{Query: true}
	}
	return p11.Output{Buf: bytes.Repeat([]byte{0xaa}, max(0, n+r.rnd.IntN(24)-6))}
}

// untouched fails if a call that delivered n bytes wrote more.
func (r *modelRun) untouched(out p11.Output, n int) {
	if n < len(out.Buf) && !bytes.Equal(out.Buf[n:], bytes.Repeat([]byte{0xaa}, len(out.Buf)-n)) {
		r.t.Error("the buffer was written to beyond the output")
	}
}

func (r *modelRun) update(s *bench, m *opModel, kind *modelKind) {
	in := r.input(m, kind, false)
	n := 0
	if kind.ready != nil && m.kept == nil {
		n = kind.ready(len(m.in)+len(in)) - kind.ready(len(m.in))
	}
	out := r.buffer(n)
	if n == 0 && !out.Query {
		out = p11.Output{}
	}
	if kind.ready == nil {
		out = p11.Output{}
	}
	l, err := p11.Call(context.Background(), r.h, &p11.Update{Session: s.s, Op: kind.op, In: in, Out: out})
	rv, n := r.modelUpdate(m, in, out, n)
	r.expect(r.name(s, kind, fmt.Sprintf("update %d into %d, query %v", len(in), len(out.Buf), out.Query)), ck.RVOf(err), l.N, rv, n)
	if rv == ck.CKR_OK && !out.Query {
		m.out = append(m.out, out.Buf[:n]...)
		r.untouched(out, n)
	} else {
		r.untouched(out, 0)
	}
}

func (r *modelRun) modelUpdate(m *opModel, in []byte, out p11.Output, n int) (ck.RV, int) {
	switch {
	case !m.active:
		return ck.CKR_OPERATION_NOT_INITIALIZED, 0
	case m.mode == modeSingle || m.kept != nil:
		*m = opModel{}
		return ck.CKR_OPERATION_ACTIVE, 0
	case out.Query:
		return ck.CKR_OK, n
	case len(out.Buf) < n:
		return ck.CKR_BUFFER_TOO_SMALL, n
	}
	m.mode = modeMulti
	m.in = append(m.in, in...)
	return ck.CKR_OK, n
}

func (r *modelRun) finish(s *bench, m *opModel, kind *modelKind, single bool) {
	var in []byte
	if single {
		in = r.input(m, kind, true)
		if m.kept != nil && r.rnd.IntN(8) > 0 {
			in = m.keptIn
		}
	}
	q := &p11.Finish{Session: s.s, Op: kind.op, Single: single, In: in}
	if kind.bound == nil {
		r.verify(s, m, kind, q)
		return
	}
	total := append(bytes.Clone(m.in), in...)
	bound := kind.bound(len(total)) - len(m.out)
	if m.kept != nil {
		bound = len(m.kept)
	}
	q.Out = r.buffer(bound)
	l, err := p11.Call(context.Background(), r.h, q)
	before := *m
	rv, n := r.modelFinish(m, kind, q, total, bound)
	r.expect(r.name(s, kind, fmt.Sprintf("finish %v, %d into %d, query %v", single, len(in), len(q.Out.Buf), q.Out.Query)), ck.RVOf(err), l.N, rv, n)
	if rv == ck.CKR_OK && !q.Out.Query {
		want, _ := kind.result(total)
		sameBytes(r.t, "all output", append(before.out, q.Out.Buf[:n]...), want)
		r.untouched(q.Out, max(n, bound))
	} else if rv == ck.CKR_BUFFER_TOO_SMALL {
		r.untouched(q.Out, 0)
	}
}

func (r *modelRun) modelFinish(m *opModel, kind *modelKind, q *p11.Finish, total []byte, bound int) (ck.RV, int) {
	switch {
	case !m.active:
		return ck.CKR_OPERATION_NOT_INITIALIZED, 0
	case q.Single && m.mode == modeMulti:
		return ck.CKR_OPERATION_ACTIVE, 0
	case !q.Single && m.mode == modeSingle:
		*m = opModel{}
		return ck.CKR_OPERATION_ACTIVE, 0
	}
	if m.mode = modeMulti; q.Single {
		m.mode = modeSingle
	}
	if m.kept != nil && !bytes.Equal(q.In, m.keptIn) {
		*m = opModel{}
		return ck.CKR_OPERATION_ACTIVE, 0
	}
	if q.Out.Query {
		return ck.CKR_OK, bound
	}
	if kind.exact && len(q.Out.Buf) < bound {
		return ck.CKR_BUFFER_TOO_SMALL, bound
	}
	all, rv := kind.result(total)
	if rv != ck.CKR_OK {
		*m = opModel{}
		return rv, 0
	}
	rest := all[len(m.out):]
	if len(q.Out.Buf) < len(rest) {
		m.kept, m.keptIn = append([]byte{}, rest...), q.In
		return ck.CKR_BUFFER_TOO_SMALL, len(rest)
	}
	*m = opModel{}
	return ck.CKR_OK, len(rest)
}

func (r *modelRun) verify(s *bench, m *opModel, kind *modelKind, q *p11.Finish) {
	sig, _ := kind.result(append(bytes.Clone(m.in), q.In...))
	want := ck.CKR_OK
	switch r.rnd.IntN(3) {
	case 0:
		sig[5]++
		want = ck.CKR_SIGNATURE_INVALID
	case 1:
		sig = sig[1:]
		want = ck.CKR_SIGNATURE_LEN_RANGE
	}
	switch {
	case !m.active:
		want = ck.CKR_OPERATION_NOT_INITIALIZED
	case q.Single && m.mode == modeMulti:
		want = ck.CKR_OPERATION_ACTIVE
	default:
		*m = opModel{}
	}
	q.Signature = sig
	_, err := p11.Call(context.Background(), r.h, q)
	r.expect(r.name(s, kind, fmt.Sprintf("verify %v", q.Single)), ck.RVOf(err), 0, want, 0)
}

// dual is C_DigestEncryptUpdate.
func (r *modelRun) dual(s *bench, models []opModel) {
	enc, dig := &models[0], &models[2]
	in := r.input(enc, &modelKinds[0], false)
	n := modelKinds[0].ready(len(enc.in)+len(in)) - modelKinds[0].ready(len(enc.in))
	out := r.buffer(n)
	l, err := p11.Call(context.Background(), r.h, &p11.DualUpdate{
		Session: s.s, First: p11.OpDigest, Second: p11.OpEncrypt, In: in, Out: out,
	})
	wantRV, wantN := ck.CKR_OPERATION_NOT_INITIALIZED, 0
	switch {
	case !enc.active || !dig.active:
	case dig.mode == modeSingle:
		*dig = opModel{}
		wantRV = ck.CKR_OPERATION_ACTIVE
	default:
		wantRV, wantN = r.modelUpdate(enc, in, out, n)
		if wantRV == ck.CKR_OK && !out.Query {
			enc.out = append(enc.out, out.Buf[:n]...)
			dig.mode = modeMulti
			dig.in = append(dig.in, in...)
		}
	}
	r.expect(fmt.Sprintf("session %d, digest and encrypt %d into %d", s.s, len(in), len(out.Buf)), ck.RVOf(err), l.N, wantRV, wantN)
}

// TestConcurrentOperations has threads work in sessions of their own, and all of
// them in one: there whatever they are answered is right, as long as it is an
// answer.
func TestConcurrentOperations(t *testing.T) {
	b := newBench(t)
	key, mac := b.aes(), b.hmac()
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	var wg sync.WaitGroup
	for n := range 6 {
		own := b.open()
		wg.Go(func() {
			data := bytes.Repeat([]byte{byte(n)}, 100+n)
			buf := make([]byte, 200)
			call := func(req p11.Request, reply any) ck.RV {
				return ck.RVOf(b.h.Do(context.Background(), req, reply))
			}
			for range rounds {
				for _, kind := range modelKinds[:4] {
					in, k := data, key
					switch kind.op {
					case p11.OpDecrypt:
						in = cbcPadded(data)
					case p11.OpSign:
						k = mac
					}
					for _, s := range []ck.SessionHandle{own.s, b.s} {
						var l p11.Length
						begun := call(&p11.Begin{Session: s, Op: kind.op, Mechanism: kind.mech, Key: k}, new(p11.None))
						done := call(&p11.Finish{Session: s, Op: kind.op, Single: true, In: in, Out: p11.Output{Buf: buf}}, &l)
						want, _ := kind.result(in)
						if s == own.s && (begun != ck.CKR_OK || done != ck.CKR_OK) || done == ck.CKR_OK && !bytes.Equal(buf[:l.N], want) {
							t.Errorf("operation %d: %v, %v", kind.op, begun, done)
							return
						}
					}
				}
			}
		})
	}
	wg.Wait()
}

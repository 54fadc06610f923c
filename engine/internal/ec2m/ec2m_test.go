package ec2m

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func named(t testing.TB, name string) *Curve {
	t.Helper()
	for _, d := range Curves {
		if slices.Contains(d.Names, name) {
			return d.Curve()
		}
	}
	t.Fatal("no curve " + name)
	return nil
}

// polynomial is an element as the bits of an integer.
func (f *field) polynomial(x *element) *big.Int {
	b := make([]byte, f.size())
	f.encode(b, x)
	return new(big.Int).SetBytes(b)
}

// The field agrees with long multiplication and division of polynomials.
func TestField(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, d := range Curves {
		f := d.Curve().f
		modulus := new(big.Int).SetBit(new(big.Int), f.m, 1)
		for _, k := range f.low {
			modulus.SetBit(modulus, k, 1)
		}
		elements := []element{{}, {1}, {2}, f.all()}
		for range 2 {
			x := f.all()
			for i := range f.n {
				x[i] &= r.Uint64()
			}
			elements = append(elements, x)
		}
		for i := range elements {
			for j := range elements {
				x, y := elements[i], elements[j]
				a, b, want := f.polynomial(&x), f.polynomial(&y), new(big.Int)
				for k := range b.BitLen() {
					if b.Bit(k) == 1 {
						want.Xor(want, new(big.Int).Lsh(a, uint(k)))
					}
				}
				for want.BitLen() > f.m {
					want.Xor(want, new(big.Int).Lsh(modulus, uint(want.BitLen()-1-f.m)))
				}
				var z element
				if f.mul(&z, &x, &y); f.polynomial(&z).Cmp(want) != 0 {
					t.Fatalf("%v: wrong product", d.Names)
				}
				if f.sqr(&z, &x); i == j && f.polynomial(&z).Cmp(want) != 0 {
					t.Fatalf("%v: wrong square", d.Names)
				}
			}
			x := elements[i]
			var z, root element
			f.inv(&z, &x)
			f.mul(&z, &z, &x)
			if f.isZero(&x) == 0 && !f.equal(&z, &element{1}) {
				t.Errorf("%v: wrong inverse", d.Names)
			}
			f.sqrt(&root, &x)
			f.sqr(&z, &root)
			if !f.equal(&z, &x) {
				t.Errorf("%v: wrong square root", d.Names)
			}
		}
	}
}

// all is the element with all bits set.
func (f *field) all() (x element) {
	for i := range f.m {
		x[i/limbBits] |= 1 << (i % limbBits)
	}
	return x
}

// Every curve passes the checks of parameters of the caller's: n G = O among
// them, and the cofactor found where none is given.
func TestNamedCurves(t *testing.T) {
	if len(Curves) != 34 {
		t.Errorf("%d curves", len(Curves))
	}
	degree := 0
	for _, d := range Curves {
		p := *d.Curve().Params()
		p.H = nil
		c, err := New(p)
		if err != nil {
			t.Errorf("%v: %v", d.Names, err)
			continue
		}
		if !bytes.Equal(c.Params().H, d.Curve().Params().H) {
			t.Errorf("%v: wrong cofactor", d.Names)
		}
		if d.M != degree {
			testGroup(t, d.Names[0], c)
		}
		degree = d.M
	}
}

// testGroup checks laws of the group, and the encodings.
func testGroup(t *testing.T, name string, c *Curve) {
	multiples := map[int64][]byte{}
	n := new(big.Int).SetBytes(c.params.N)
	for _, k := range []int64{1, 2, 3, 5, -1, -2} {
		p, err := c.ScalarBaseMult(new(big.Int).Mod(big.NewInt(k), n).Bytes())
		if err != nil {
			t.Fatal(name, k, err)
		}
		multiples[k] = p
	}
	mult := func(k int64) []byte { return multiples[k] }
	size := c.Size()
	for _, k := range []int64{1, 2} {
		p := mult(k)
		minus := mult(-k)
		if !bytes.Equal(p[1:1+size], minus[1:1+size]) || bytes.Equal(p, minus) {
			t.Errorf("%s: -%d G is wrong", name, k)
		}
		compressed, err := c.Compress(p)
		if err != nil {
			t.Fatal(name, err)
		}
		hybrid := append([]byte{6 | compressed[0]&1}, p[1:]...)
		for _, form := range [][]byte{p, compressed, hybrid} {
			if got, err := c.Decode(form); err != nil || !bytes.Equal(got, p) {
				t.Errorf("%s: %x: %v", name, form, err)
			}
		}
		hybrid[0] ^= 1
		if _, err := c.Decode(hybrid); err == nil {
			t.Errorf("%s: hybrid form with the wrong bit", name)
		}
	}
	for _, x := range []struct{ u, v, k, want int64 }{
		{2, 1, 3, 5}, {1, 1, 1, 2}, {0, 2, 1, 2}, {3, 0, 1, 3},
	} {
		got, err := c.CombinedMult(big.NewInt(x.u).Bytes(), mult(x.k), big.NewInt(x.v).Bytes())
		if err != nil || !bytes.Equal(got, mult(x.want)) {
			t.Errorf("%s: wrong sum %+v: %v", name, x, err)
		}
	}
	for _, x := range [][3]int64{{1, 1, 2}, {1, 2, 3}, {3, 2, 5}, {-1, 2, 1}, {-2, 1, -1}} {
		if got, err := c.Add(mult(x[0]), mult(x[1])); err != nil || !bytes.Equal(got, mult(x[2])) {
			t.Errorf("%s: wrong sum %v: %v", name, x, err)
		}
	}
	if _, err := c.Add(mult(-2), mult(2)); !errors.Is(err, ErrInfinity) {
		t.Errorf("%s: 2 G - 2 G: %v", name, err)
	}
	if _, err := c.CombinedMult([]byte{1}, mult(-1), []byte{1}); !errors.Is(err, ErrInfinity) {
		t.Errorf("%s: G - G: %v", name, err)
	}
	if _, err := c.ScalarBaseMult(c.params.N); !errors.Is(err, ErrInfinity) {
		t.Errorf("%s: n G: %v", name, err)
	}
	// (0, sqrt b) is the point of order 2.
	two := make([]byte, 1+2*size)
	two[0] = 4
	c.f.encode(two[1+size:], &c.rootB)
	if c.InSubgroup(two) {
		t.Errorf("%s: point of order 2 in the subgroup", name)
	}
	if got, err := c.ScalarMult(two, []byte{5}); err != nil || !bytes.Equal(got, two) {
		t.Errorf("%s: 5 P of a point of order 2: %x %v", name, got, err)
	}
	if _, err := c.ScalarMult(two, []byte{6}); !errors.Is(err, ErrInfinity) {
		t.Errorf("%s: 6 P of a point of order 2: %v", name, err)
	}
	if _, err := c.Add(two, two); !errors.Is(err, ErrInfinity) {
		t.Errorf("%s: twice a point of order 2: %v", name, err)
	}
	if got, err := c.Decode(append([]byte{2}, make([]byte, size)...)); err != nil || !bytes.Equal(got, two) {
		t.Errorf("%s: x = 0: %x %v", name, got, err)
	}
}

// FIPS 186-4 vectors of NIST's CAVP, KeyPair.rsp: the first of each curve.
func TestKeyPair(t *testing.T) {
	for _, x := range [][4]string{
		{"K-163", "028a7447f95b43c072722ee52f2a68897518830272",
			"072dadf24b00f9a2a0ad6fbfb9d86181e939900174",
			"04bc1d4987dde0d2f633df16d686e2a78d6d3f49f3"},
		{"K-233", "01da7422b50e3ff051f2aaaed10acea6cbf6110c517da2f4eaca8b5b87",
			"01c7475da9a161e4b3f7d6b086494063543a979e34b8d7ac44204d47bf9f",
			"0131cbd433f112871cc175943991b6a1350bf0cdd57ed8c831a2a7710c92"},
		{"K-283", "01de6fc561ce8c3ec9a7c03a51e0c61204991f8caca8c7b073cd07945ffb22c48c30e5d4",
			"021e41033585949f5bf30a73d935c580946c3f15b942b42b54e3397fc4115ee96bbbcff0",
			"050789e0c1dacaebb72d7fe27081b2048a8fac3a58693e52807b8c346930b5c4deb549cb"},
		{"K-409", "0190c5a00374cc3254fdd421c8e52b0cb0f00317bbfb4153195eb6195557989b8e78b27df35c8f47bb4b4ee4608ea04f2adb72",
			"415d296d3d421801dd4ef870cdd234220af52c896f2d8e70c368622167655d45ab7db524552f7aeb9c1159bcac10f24b9b1864",
			"0f824d69ec629e2dabd323cfc93992f253c901ada1427967e591ca0e0970ae7ed35e252159255a3bdbf21d09b0c7bfeb72626a"},
		{"K-571", "4b7223994f77708dbefe1e76fedb6279710b8769933f87d12d4304bac646fc453055632beb70f87c6bcf6f28fcccba25088789d1f15013f25320ff09321e921eb3e66b0829e87c",
			"023691a3028fc2ea92f707f13c61953ebf411a247739f225f21878fa786e416c5aac32a5d73368bf3ca350f1e05022d17093dc318b42e5fa7234e32f959f20146da2165db36230c0",
			"fd2635485e32d637bfd8f53ff600b9b2bcc6d79884be54dc50103e25c460d41c8d502d7927bb19adfb2cd59a83ec92f4186ac5c75014d3946f4a2a725d3324f6dc206197d19d79"},
		{"B-163", "025d594310681b01fd63333cdd4315e54e18fe2623",
			"7e7162c48dcab690aa9ef76d2ed066cedae33364",
			"8cc32f4b5a88985c6e0c418e4abe988d5375371d"},
		{"B-233", "1e0da3dca621aab89a54e9528937ca7567464e6e783357878c1ecef15c",
			"bf1e4d6ad911b7d4cfdfc990132b1e23bd279f4692bbac82e9e8b80dd4",
			"6c2a7599c395b8cc01b29b33ad6808361a7417d0dd7bd478a4a4783446"},
		{"B-283", "10d57c6f40baac97852771cee44a04137fb0ae504df7d6bb4153e5f13678f511520d47",
			"05c555fecdea33c76bbc3498a2cf3f64eda57f3bedc9579439162a736953d25d16ffb6a3",
			"8808d8babe945f2f0040f70c9f10714b8852179314d17f8f1cef8164fe5d1705e33eff"},
		{"B-409", "ebd71c6f6a42bb485480526d916977665df53c198dbd027e2a36ddd4e1178bed069ca6758d0069098301e9ef89dc545ce9c691",
			"01fc79d655eb2f07e8127fb0857de31fadb25afc04ea340fa448d669439e7519a3487c7601875d1f3431d3707a5a36de3532408d",
			"019a4dae9a205ead5fc6dac8b84f7b8846667b1853d02bfd696115f266b380b5be63eb684a46fb3536f9c44ac33cb5aa32000246"},
		{"B-571", "01443e93c7ef6802655f641ecbe95e75f1f15b02d2e172f49a32e22047d5c00ebe1b3ff0456374461360667dbf07bc67f7d6135ee0d1d46a226a530fefe8ebf3b926e9fbad8d57a6",
			"053e3710d8e7d4138db0a369c97e5332c1be38a20a4a84c36f5e55ea9fd6f34545b864ea64f319e74b5ee9e4e1fa1b7c5b2db0e52467518f8c45b658824871d5d4025a6320ca06f8",
			"03a22cfd370c4a449b936ae97ab97aab11c57686cca99d14ef184f9417fad8bedae4df8357e3710bcda1833b30e297d4bf637938b995d231e557d13f062e81e830af5ab052208ead"},
	} {
		c := named(t, x[0])
		got, err := c.ScalarBaseMult(number(x[1]))
		want := append(append([]byte{4}, padded(x[2], c.Size())...), padded(x[3], c.Size())...)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x %v", x[0], got, err)
		}
	}
}

// FIPS 186-4 vectors of NIST's CAVP, PKV.rsp.
func TestPublicKeys(t *testing.T) {
	for _, x := range []struct {
		curve, x, y string
		valid       bool
	}{
		{"K-233", "1a615ca015c5ed3fc91a6b29c3ac35966a5f57440598daf772cbc7a976c", "11c2c5dddf5fc0cb0a94d187461016863028b014a4f316fe79a673ebd3c", false},
		{"K-233", "1862a5cf1d071468488109b099e3665dd58eb5f691567ca449ffe92f6af", "1deaf41f2c2052ba0c5c715b6b815ebb25fafe4d7b736d1a3bf7c5e2017", false},
		{"K-233", "14df383e5b497527b38fa1544b24c944831fc8f99eca54e8a4c5b367896", "15d374694c106d64279d04a4e866eb12dea0f6cc6b6a10230dd477f9ef1", false},
		{"K-233", "1c8004a0e48ed3b1d5cc5269aa4ed8040b8ce65ed9ed85957415c727375", "06902b59db2c36fdd56b288237c8fe945a26f46b43c5fe6b72a63955949", true},
		{"K-233", "08220504ce97f43cd945d2d3ac9d14642a83ef4e432391d2723670e5ab6", "3554ba3b092d198c3349aed41a0caf0c2a8ff6995f4aa1500601ae663e3", false},
		{"K-233", "1bc515371a4e2fd077c7970939cc5134be71762fc4512677dc4f3fe7536", "06dfb484a09236a37741c91e94e58701d3cffc146ea1c8e08c241658996", true},
		{"B-163", "3a4caa1439ac6d09ef2db6cb7ee135e9f8ad00d06", "0011012158e38ece659a3d6f21e7c985030d1c3af", true},
		{"B-163", "3574c6d7d8c872ba9342758a92f0a8dc3a423449c", "46daa0fc26b0e75243acf0eb88f1fad3c634a5210", false},
		{"B-163", "61f95048bc28cd77902c1047ce872c2a27424f9d5", "f3fd281299c676a86a701c2710e1600c889c75c3e", false},
		{"B-163", "76e5f369a7c22bd20a25cd9937f25c7378545f8f5", "52ef6be9343b3aa456f30527cf0ace069e70e5632", false},
		{"B-163", "1e5e0bb21a3f709e909a7ead85fbf0c20b21b8be6", "143fa884f32d1e744cf6f34f73eebd94fe17801bf", true},
		{"B-163", "02e22cd1c41ed0edba94ecae375ea889202fae1a2", "9d90215d2f60cf637dbc4e549b6115f4c84f7320d", false},
	} {
		c := named(t, x.curve)
		size := max(c.Size(), (len(x.x)+1)/2, (len(x.y)+1)/2)
		p := append(append([]byte{4}, padded(x.x, size)...), padded(x.y, size)...)
		if got := c.InSubgroup(p); got != x.valid {
			t.Errorf("%s: %s: %v", x.curve, x.x, got)
		}
	}
}

// Vectors of project Wycheproof, ecdh_sect*_test.json, by their numbers there.
func TestECDH(t *testing.T) {
	for _, x := range []struct {
		curve                string
		id                   int
		point, value, shared string
	}{
		{"sect283k1", 1,
			"0401eef8bea17e53e591beac95c110187f6d7c27a40d202ac73064b4ca054aa1f51608ddd5042e4525c94f62a1ddae8097c365fc8c9fbeca85feea1c2713f015bd5f584a89b9e13720",
			"013826bf5645617bfbbb162685d0f52f70fcd35e660cb19e70de811999ef28c97a9d4934", "05ca68e2b421013f6083d598df151560a45d4ec2ea3fc69ed5383653ea2397a5a627f586"},
		{"sect283k1", 3,
			"0407ac7b0dd4ff55364660e60d668334d0197f46503b68594a93b9b296cab02243e1c8e48c0134fa4fb82a61e885f0ffded9b42e7982f1cf47a9547f9501099761ef135f219fd00812",
			"03", "0352d39a090d970e8fd6d9fefc3b9ed9efa00048d357bc190a1df1b964d5a5a11922e8bd"},
		{"sect283k1", 5,
			"0407ac7b0dd4ff55364660e60d668334d0197f46503b68594a93b9b296cab02243e1c8e48c0134fa4fb82a61e885f0ffded9b42e7982f1cf47a9547f9501099761ef135f219fd00812",
			"0200000000000000000000000000000000000000000000000000000000000000000000", "0335439208c7144414322381a53c44010d2cb921bd42ecb3e5d4de25f5abcc425f89fe4a"},
		{"sect283k1", 18,
			"04000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001",
			"00af9204ae88e004dd5123b42ebcbf999378d4c6e662b4e99a5adc855d861d4b090d41ec", ""},
		{"sect283k1", 20,
			"04000000000000000000000000000000000000000000000000000000000000000000000001000000000000000000000000000000000000000000000000000000000000000000000000",
			"1d9de51b687e5f2dafe0cda6e011ef33a9d143eb9f9a5f60619ef11346cc7652766aac", ""},
		{"sect283k1", 21,
			"04000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001",
			"00af9204ae88e004dd5123b42ebcbf999378d4c6e662b4e99a5adc855d861d4b090d41ed", "000000000000000000000000000000000000000000000000000000000000000000000000"},
		{"sect283k1", 25,
			"04000000000000000000000000000000000000000000000000000000000000000000000001000000000000000000000000000000000000000000000000000000000000000000000000",
			"1d9de51b687e5f2dafe0cda6e011ef33a9d143eb9f9a5f60619ef11346cc7652766aad", "000000000000000000000000000000000000000000000000000000000000000000000001"},
		{"sect283r1", 1,
			"0406403ff126ec78f67f1a7d0664d49eb386251ec85a22052f29869ffc1eae2c2649bd74f3050e9646db0c9e110e9ec20eeabf20da39e021130604d9ffb4af33cd016c947536cd5b77",
			"02a182530c9d115ba920071df1f9b1077b93df61a39a35188bf58a1c76524639439ac0a8", "0195275b6182cb8758bd961d0fc43917b468a8ccbcb2346aac9bcd508f09c969d265b479"},
		{"sect283r1", 2,
			"0206403ff126ec78f67f1a7d0664d49eb386251ec85a22052f29869ffc1eae2c2649bd74f3",
			"02a182530c9d115ba920071df1f9b1077b93df61a39a35188bf58a1c76524639439ac0a8", "0195275b6182cb8758bd961d0fc43917b468a8ccbcb2346aac9bcd508f09c969d265b479"},
		{"sect283r1", 4,
			"0402f68568f2f6906ca87bfdafa8806f184bcd80cdbd1f5ab29fe53aa22ec6a308a9a5caf406f5360bed57976712edc62ea60c4021a216c96fc5e3e0afb838c8ac397a7648179d1cee",
			"03ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", "00df0f51b2a38294fbd584ff4563e0efa0e4f40bcd14e7b4e10fcb0ff72cf7540c473a25"},
		{"sect283r1", 18,
			"04000000000000000000000000000000000000000000000000000000000000000000000000072bcc9c5792b1ebe81983089fb6f835a2fd220a304424ca17c082ae17442aede9b9b3f6",
			"00af9204ae88e004dd511cf9ab156bb8ec3316fb2cedfe7869e74c8409887ed363e206e2", ""},
		{"sect283r1", 19,
			"04000000000000000000000000000000000000000000000000000000000000000000000000072bcc9c5792b1ebe81983089fb6f835a2fd220a304424ca17c082ae17442aede9b9b3f6",
			"00af9204ae88e004dd511cf9ab156bb8ec3316fb2cedfe7869e74c8409887ed363e206e3", "000000000000000000000000000000000000000000000000000000000000000000000000"},
		{"sect283r1", 38,
			"0201a76233c21c06dfe1fcffb5f4849c00da115c636261ee9091fea26c071ede9501cf8d57",
			"03d86bd723251b2ef146583347a711fa051f4887e6392829e1e60da78840ac96a269831d", ""},
		{"sect409k1", 1,
			"0401de3d9671d7d69f5a749191b02d6bb8bbb9e01d316fb379762ab6ec2c25c0e45c7c94827866cbbac2f4a73ab40553c2ba271b86012e2367b2d80738f18b0b2007e05e98dbd99484fa6beffa04de32a1739b77f3b225fcdcced6d4cc92b45a737588812385f58534",
			"6fc8421b4c7afb918c511673b9b7bea76ecf705ec8d769c92b50c7e80726d5a8f4fe08b8d565f44c0e2b7c155fc9a032a65d86", "0162f8dc2419f58ea74efe221e09c9da7534942d86822f2ffa44b9497c08c6d160f11df5746c7ae3471d343703201ccfb1cd9b94"},
		{"sect409r1", 1,
			"040044f218735363eaa3aa9db4713b0c20787f6c7b63c5b99640a9c4ee3d46e3211312076b55f126b473aca8318350fabe5338b4cb00e73519e81b20e325ec8ba9cb4035685a3f926cbb02fe0912435c6088f8494447c91a9a959045f9aebc42575d530d6d8b05a473",
			"00df38cadf002bceb4f1883ad281c8bf592a804c4eaded43fb34cd665238012e9a5d5b6e5b71efffc10d92d83a5e7a409465deeb", "00dadd7f79efbd812cbd704838f8727573ab9ae915ce1a42f35cfe16df58155710aa468db3aab1cf302c82c6e4fc97fb91a68eeb"},
		{"sect571k1", 1,
			"040035203a752378ce50c7694ff64171263ce3392ac263afceb2606a7ac5705ada6ca271bc321d263490d32372f7fb5395d30fc008dc926cd4e33cb1e2fd51fb37f9ba46642af26fa2007ebda653ab1c2ecc112c755c1a10c14751e350c8146b29441386adc47387f46cd0fd63127655eacce57da9b61bf9e5b7b766bb829ada5deb6d44eb8daad389a5507660334d61b0",
			"01a5e90d0e7f369b55ff408abe33d92f8d2a9f7973b02c2e4e1f2b87ef19e240fe996dbde5c08798319e27978f47c4337ab53d9a56b8d47e78ffcf6de9212e3818eacfdb991fad51", "06cccb9515a7c6fc4efd697dc1cb6231b841b19bf1046315aa03e31871ff69684380e37e7e47d44ea96289a1089c3669b391610e57a45f890c489d59a47f504916b26b26571ff9c9"},
		{"sect571r1", 1,
			"04073d6dac804ab46f8971d5321a26213873cdf4e3571dc64f09c865e9331b85e61ba13a20869d470a975964edb3eb7200b8bb2f27b47c6d2b17b80402fbab1e7ab3be37ccae791f38053e6412cf6af8e1f6687c2f88caf1737a4712de6d47e45c5211f090bb6798a0bd360345003f02a5a31b4636cf34aa6c482d490cce14a9eb7c1b40d731a64e5dc593d5c67fbc6d10",
			"01863004be829983d4e674c1ed4ef912d84a6e3a6cdcc993babe9736be94709985bddb413ad3d2565c2f7fa0d9e0215c5f0149c2d548a00b15f22b30f234ae5f5172c98cef2a3d34", "00b442f82bf18ae5de4670087a23d4854855fefc7ace6ccb26e3c2cf6048a1824d31f9c56acc908fda6458fd3df2dd54f3cf6f31742b11c076e4fc90ccdc222cffac7f3c321e3bf5"},
	} {
		got, err := named(t, x.curve).ScalarMult(unhex(t, x.point), bytes.TrimLeft(unhex(t, x.value), "\x00"))
		if x.shared == "" {
			if err == nil {
				t.Errorf("%s %d: accepted", x.curve, x.id)
			}
			continue
		}
		if err != nil || !bytes.Equal(got[1:1+len(x.shared)/2], unhex(t, x.shared)) {
			t.Errorf("%s %d: %x %v", x.curve, x.id, got, err)
		}
	}
}

// The ephemeral points of the ECDSA examples of ANSI X9.62-1998, sections
// J.2.1 and J.2.2: k and r, which is the x of k G modulo n.
func TestX962(t *testing.T) {
	for _, x := range [][3]string{
		{"c2tnb191v1", "1542725565216523985789236956265265265235675811949404040041",
			"87194383164871543355722284926904419997237591535066528048"},
		{"c2tnb239v1", "171278725565216523967285789236956265265265235675811949404040041670216363",
			"21596333210419611985018340039034612628818151486841789642455876922391552"},
	} {
		c := named(t, x[0])
		k, _ := new(big.Int).SetString(x[1], 10)
		p, err := c.ScalarBaseMult(k.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		r := new(big.Int).SetBytes(p[1 : 1+c.Size()])
		if r.Mod(r, new(big.Int).SetBytes(c.Params().N)).String() != x[2] {
			t.Errorf("%s: r = %v", x[0], r)
		}
	}
}

func TestRefusedParameters(t *testing.T) {
	good := *named(t, "sect163r2").Params()
	other := named(t, "sect163r1").Params()
	for name, x := range map[string]struct {
		change func(p *Params)
		want   error
	}{
		"no middle term":      {func(p *Params) { p.Middle = nil }, ErrParams},
		"two middle terms":    {func(p *Params) { p.Middle = []int{7, 3} }, ErrParams},
		"terms out of order":  {func(p *Params) { p.Middle = []int{3, 6, 7} }, ErrParams},
		"a term of 0":         {func(p *Params) { p.Middle = []int{7, 3, 0} }, ErrParams},
		"a term above m":      {func(p *Params) { p.Middle = []int{164} }, ErrParams},
		"m negative":          {func(p *Params) { p.M = -1 }, ErrParams},
		"m small":             {func(p *Params) { p.M = 97; p.Middle = []int{6} }, ErrUnsupported},
		"m large":             {func(p *Params) { p.M = 1 << 40 }, ErrUnsupported},
		"a term close to m":   {func(p *Params) { p.Middle = []int{156} }, ErrUnsupported},
		"reducible":           {func(p *Params) { p.Middle = []int{8, 6, 3} }, ErrParams},
		"b = 0":               {func(p *Params) { p.B = []byte{0} }, ErrParams},
		"b too long":          {func(p *Params) { p.B = bytes.Repeat([]byte{1}, 22) }, ErrParams},
		"other b":             {func(p *Params) { p.B = other.B }, ErrParams},
		"base point missing":  {func(p *Params) { p.G = nil }, ErrParams},
		"base point infinite": {func(p *Params) { p.G = []byte{0} }, ErrParams},
		"other base point":    {func(p *Params) { p.G = other.G }, ErrParams},
		"n missing":           {func(p *Params) { p.N = nil }, ErrParams},
		"n = 1":               {func(p *Params) { p.N = []byte{1} }, ErrParams},
		"n = 2":               {func(p *Params) { p.N = []byte{2} }, ErrParams},
		"other n":             {func(p *Params) { p.N = other.N }, ErrParams},
		"n doubled":           {func(p *Params) { p.N = new(big.Int).Lsh(new(big.Int).SetBytes(p.N), 1).Bytes() }, ErrParams},
		"n huge":              {func(p *Params) { p.N = bytes.Repeat([]byte{255}, 1<<16) }, ErrParams},
		"h wrong":             {func(p *Params) { p.H = []byte{4} }, ErrParams},
		"h huge":              {func(p *Params) { p.H = bytes.Repeat([]byte{255}, 1<<16) }, ErrParams},
	} {
		p := good
		x.change(&p)
		if _, err := New(p); !errors.Is(err, x.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefusedPoints(t *testing.T) {
	c := named(t, "sect163r2")
	g := c.Params().G
	for _, b := range [][]byte{
		nil, {0}, {2}, {4}, g[:len(g)-1], append(bytes.Clone(g), 0),
		append([]byte{5}, g[1:]...), append([]byte{0}, g[1:]...), append([]byte{2}, g[1:]...),
		append(append([]byte{4}, g[22:]...), g[1:22]...),
		append([]byte{4, 0xff}, g[2:]...),
		append([]byte{3}, make([]byte, 21)...),
	} {
		if _, err := c.Decode(b); !errors.Is(err, ErrPoint) {
			t.Errorf("%x: %v", b, err)
		}
		if _, err := c.ScalarMult(b, []byte{1}); !errors.Is(err, ErrPoint) {
			t.Errorf("%x: %v", b, err)
		}
	}
	if _, err := c.ScalarBaseMult(make([]byte, 1000)); !errors.Is(err, ErrScalar) {
		t.Error(err)
	}
}

func BenchmarkScalarBaseMult(b *testing.B) {
	for _, name := range []string{"sect163k1", "sect283k1", "sect571k1"} {
		c := named(b, name)
		b.Run(name, func(b *testing.B) {
			for range b.N {
				if _, err := c.ScalarBaseMult(c.params.N[1:]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

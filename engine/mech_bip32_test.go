package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
)

// extended is a serialized key of BIP 32.
type extended struct {
	version, parent, chain, key []byte
	depth                       byte
	index                       uint32
}

// parseExtended reads the Base58Check form of a key; ok tells whether the
// checksum is right.
func parseExtended(t *testing.T, s string) (x extended, ok bool) {
	t.Helper()
	n := new(big.Int)
	for _, c := range s {
		d := strings.IndexRune("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", c)
		if d < 0 {
			t.Fatalf("%s: not in base 58", s)
		}
		n.Add(n.Mul(n, big.NewInt(58)), big.NewInt(int64(d)))
	}
	b := n.FillBytes(make([]byte, 82))
	sum := sha256.Sum256(b[:78])
	sum = sha256.Sum256(sum[:])
	return extended{
		version: b[:4], depth: b[4], parent: b[5:9], index: binary.BigEndian.Uint32(b[9:13]), chain: b[13:45], key: b[45:78],
	}, bytes.Equal(sum[:4], b[78:])
}

// attributes are what C_CreateObject would be given for it.
func (x *extended) attributes(class ck.ObjectClass) []ck.Attribute {
	key := ck.NewBytes(ck.CKA_VALUE, x.key)
	if class == ck.CKO_PUBLIC_KEY {
		key.Type = ck.CKA_EC_POINT
	} else if x.key[0] == 0 {
		key.Value = x.key[1:] // the first byte only fills up
	}
	return []ck.Attribute{
		key, ck.NewBytes(ck.CKA_BIP32_VERSION_BYTES, x.version), ck.NewBytes(ck.CKA_BIP32_CHAIN_CODE, x.chain),
		ck.NewBytes(ck.CKA_BIP32_PARENT_FINGERPRINT, x.parent), ck.NewULong(ck.CKA_BIP32_CHILD_DEPTH, uint64(x.depth)),
		ck.NewULong(ck.CKA_BIP32_CHILD_INDEX, uint64(x.index)),
	}
}

const hardened = uint64(ck.CKF_BIP32_HARDENED)

// bip32Vectors are test vectors 1 to 4 of BIP 32: the seed, and keys by their
// paths.
var bip32Vectors = []struct {
	seed  string
	chain []bip32Vector
}{
	{"000102030405060708090a0b0c0d0e0f", []bip32Vector{
		{nil,
			"xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8",
			"xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi"},
		{[]uint64{hardened},
			"xpub68Gmy5EdvgibQVfPdqkBBCHxA5htiqg55crXYuXoQRKfDBFA1WEjWgP6LHhwBZeNK1VTsfTFUHCdrfp1bgwQ9xv5ski8PX9rL2dZXvgGDnw",
			"xprv9uHRZZhk6KAJC1avXpDAp4MDc3sQKNxDiPvvkX8Br5ngLNv1TxvUxt4cV1rGL5hj6KCesnDYUhd7oWgT11eZG7XnxHrnYeSvkzY7d2bhkJ7"},
		{[]uint64{hardened, 1},
			"xpub6ASuArnXKPbfEwhqN6e3mwBcDTgzisQN1wXN9BJcM47sSikHjJf3UFHKkNAWbWMiGj7Wf5uMash7SyYq527Hqck2AxYysAA7xmALppuCkwQ",
			"xprv9wTYmMFdV23N2TdNG573QoEsfRrWKQgWeibmLntzniatZvR9BmLnvSxqu53Kw1UmYPxLgboyZQaXwTCg8MSY3H2EU4pWcQDnRnrVA1xe8fs"},
		{[]uint64{hardened, 1, hardened | 2},
			"xpub6D4BDPcP2GT577Vvch3R8wDkScZWzQzMMUm3PWbmWvVJrZwQY4VUNgqFJPMM3No2dFDFGTsxxpG5uJh7n7epu4trkrX7x7DogT5Uv6fcLW5",
			"xprv9z4pot5VBttmtdRTWfWQmoH1taj2axGVzFqSb8C9xaxKymcFzXBDptWmT7FwuEzG3ryjH4ktypQSAewRiNMjANTtpgP4mLTj34bhnZX7UiM"},
		{[]uint64{hardened, 1, hardened | 2, 2},
			"xpub6FHa3pjLCk84BayeJxFW2SP4XRrFd1JYnxeLeU8EqN3vDfZmbqBqaGJAyiLjTAwm6ZLRQUMv1ZACTj37sR62cfN7fe5JnJ7dh8zL4fiyLHV",
			"xprvA2JDeKCSNNZky6uBCviVfJSKyQ1mDYahRjijr5idH2WwLsEd4Hsb2Tyh8RfQMuPh7f7RtyzTtdrbdqqsunu5Mm3wDvUAKRHSC34sJ7in334"},
		{[]uint64{hardened, 1, hardened | 2, 2, 1000000000},
			"xpub6H1LXWLaKsWFhvm6RVpEL9P4KfRZSW7abD2ttkWP3SSQvnyA8FSVqNTEcYFgJS2UaFcxupHiYkro49S8yGasTvXEYBVPamhGW6cFJodrTHy",
			"xprvA41z7zogVVwxVSgdKUHDy1SKmdb533PjDz7J6N6mV6uS3ze1ai8FHa8kmHScGpWmj4WggLyQjgPie1rFSruoUihUZREPSL39UNdE3BBDu76"},
	}},
	{"fffcf9f6f3f0edeae7e4e1dedbd8d5d2cfccc9c6c3c0bdbab7b4b1aeaba8a5a29f9c999693908d8a8784817e7b7875726f6c696663605d5a5754514e4b484542", []bip32Vector{
		{nil,
			"xpub661MyMwAqRbcFW31YEwpkMuc5THy2PSt5bDMsktWQcFF8syAmRUapSCGu8ED9W6oDMSgv6Zz8idoc4a6mr8BDzTJY47LJhkJ8UB7WEGuduB",
			"xprv9s21ZrQH143K31xYSDQpPDxsXRTUcvj2iNHm5NUtrGiGG5e2DtALGdso3pGz6ssrdK4PFmM8NSpSBHNqPqm55Qn3LqFtT2emdEXVYsCzC2U"},
		{[]uint64{0},
			"xpub69H7F5d8KSRgmmdJg2KhpAK8SR3DjMwAdkxj3ZuxV27CprR9LgpeyGmXUbC6wb7ERfvrnKZjXoUmmDznezpbZb7ap6r1D3tgFxHmwMkQTPH",
			"xprv9vHkqa6EV4sPZHYqZznhT2NPtPCjKuDKGY38FBWLvgaDx45zo9WQRUT3dKYnjwih2yJD9mkrocEZXo1ex8G81dwSM1fwqWpWkeS3v86pgKt"},
		{[]uint64{0, hardened | 2147483647},
			"xpub6ASAVgeehLbnwdqV6UKMHVzgqAG8Gr6riv3Fxxpj8ksbH9ebxaEyBLZ85ySDhKiLDBrQSARLq1uNRts8RuJiHjaDMBU4Zn9h8LZNnBC5y4a",
			"xprv9wSp6B7kry3Vj9m1zSnLvN3xH8RdsPP1Mh7fAaR7aRLcQMKTR2vidYEeEg2mUCTAwCd6vnxVrcjfy2kRgVsFawNzmjuHc2YmYRmagcEPdU9"},
		{[]uint64{0, hardened | 2147483647, 1},
			"xpub6DF8uhdarytz3FWdA8TvFSvvAh8dP3283MY7p2V4SeE2wyWmG5mg5EwVvmdMVCQcoNJxGoWaU9DCWh89LojfZ537wTfunKau47EL2dhHKon",
			"xprv9zFnWC6h2cLgpmSA46vutJzBcfJ8yaJGg8cX1e5StJh45BBciYTRXSd25UEPVuesF9yog62tGAQtHjXajPPdbRCHuWS6T8XA2ECKADdw4Ef"},
		{[]uint64{0, hardened | 2147483647, 1, hardened | 2147483646},
			"xpub6ERApfZwUNrhLCkDtcHTcxd75RbzS1ed54G1LkBUHQVHQKqhMkhgbmJbZRkrgZw4koxb5JaHWkY4ALHY2grBGRjaDMzQLcgJvLJuZZvRcEL",
			"xprvA1RpRA33e1JQ7ifknakTFpgNXPmW2YvmhqLQYMmrj4xJXXWYpDPS3xz7iAxn8L39njGVyuoseXzU6rcxFLJ8HFsTjSyQbLYnMpCqE2VbFWc"},
		{[]uint64{0, hardened | 2147483647, 1, hardened | 2147483646, 2},
			"xpub6FnCn6nSzZAw5Tw7cgR9bi15UV96gLZhjDstkXXxvCLsUXBGXPdSnLFbdpq8p9HmGsApME5hQTZ3emM2rnY5agb9rXpVGyy3bdW6EEgAtqt",
			"xprvA2nrNbFZABcdryreWet9Ea4LvTJcGsqrMzxHx98MMrotbir7yrKCEXw7nadnHM8Dq38EGfSh6dqA9QWTyefMLEcBYJUuekgW4BYPJcr9E7j"},
	}},
	{"4b381541583be4423346c643850da4b320e46a87ae3d2a4e6da11eba819cd4acba45d239319ac14f863b8d5ab5a0d0c64d2e8a1e7d1457df2e5a3c51c73235be", []bip32Vector{
		{nil,
			"xpub661MyMwAqRbcEZVB4dScxMAdx6d4nFc9nvyvH3v4gJL378CSRZiYmhRoP7mBy6gSPSCYk6SzXPTf3ND1cZAceL7SfJ1Z3GC8vBgp2epUt13",
			"xprv9s21ZrQH143K25QhxbucbDDuQ4naNntJRi4KUfWT7xo4EKsHt2QJDu7KXp1A3u7Bi1j8ph3EGsZ9Xvz9dGuVrtHHs7pXeTzjuxBrCmmhgC6"},
		{[]uint64{hardened},
			"xpub68NZiKmJWnxxS6aaHmn81bvJeTESw724CRDs6HbuccFQN9Ku14VQrADWgqbhhTHBaohPX4CjNLf9fq9MYo6oDaPPLPxSb7gwQN3ih19Zm4Y",
			"xprv9uPDJpEQgRQfDcW7BkF7eTya6RPxXeJCqCJGHuCJ4GiRVLzkTXBAJMu2qaMWPrS7AANYqdq6vcBcBUdJCVVFceUvJFjaPdGZ2y9WACViL4L"},
	}},
	{"3ddd5602285899a946114506157c7997e5444528f3003f6134712147db19b678", []bip32Vector{
		{[]uint64{hardened},
			"xpub69AUMk3qDBi3uW1sXgjCmVjJ2G6WQoYSnNHyzkmdCHEhSZ4tBok37xfFEqHd2AddP56Tqp4o56AePAgCjYdvpW2PU2jbUPFKsav5ut6Ch1m",
			"xprv9vB7xEWwNp9kh1wQRfCCQMnZUEG21LpbR9NPCNN1dwhiZkjjeGRnaALmPXCX7SgjFTiCTT6bXes17boXtjq3xLpcDjzEuGLQBM5ohqkao9G"},
		{[]uint64{hardened, hardened | 1},
			"xpub6BJA1jSqiukeaesWfxe6sNK9CCGaujFFSJLomWHprUL9DePQ4JDkM5d88n49sMGJxrhpjazuXYWdMf17C9T5XnxkopaeS7jGk1GyyVziaMt",
			"xprv9xJocDuwtYCMNAo3Zw76WENQeAS6WGXQ55RCy7tDJ8oALr4FWkuVoHJeHVAcAqiZLE7Je3vZJHxspZdFHfnBEjHqU5hG1Jaj32dVoS6XLT1"},
	}},
}

type bip32Vector struct {
	path            []uint64
	public, private string
}

var anyTemplate = []ck.Attribute{ck.NewBool(ck.CKA_TOKEN, false)}

// completedBIP32 is the key that the HSM keeps of what was derived.
func completedBIP32(t *testing.T, d Derived) *Key {
	t.Helper()
	k := &Key{Class: d.Class, Type: d.Type, Attrs: d.Values}
	more, err := completeBIP32(k)
	if err != nil {
		t.Fatal(err)
	}
	return &Key{Class: d.Class, Type: d.Type, Attrs: append(more, d.Values...)}
}

func bip32Derive(t *testing.T, m ck.MechanismType, base *Key, p any) (public, private *Key) {
	t.Helper()
	list, err := Find(m).DeriveKeys(base, p, &Derivation{})
	if err != nil {
		t.Fatalf("%v: %v", m, err)
	}
	for _, d := range list {
		if k := completedBIP32(t, d); k.Class == ck.CKO_PUBLIC_KEY {
			public = k
		} else {
			private = k
		}
	}
	return public, private
}

// isExtended compares a key with a published one.
func isExtended(t *testing.T, k *Key, published string) {
	t.Helper()
	x, ok := parseExtended(t, published)
	if !ok {
		t.Fatalf("%s: wrong checksum", published)
	}
	for _, a := range x.attributes(k.Class) {
		if a.Type == ck.CKA_EC_POINT {
			point, err := secp256k1().parsePoint(a.Value)
			if err != nil {
				t.Fatal(err)
			}
			a.Value = storedPoint(point)
		}
		if got := k.Bytes(a.Type); !bytes.Equal(got, a.Value) {
			t.Errorf("%s: %v is %x, not %x", published, a.Type, got, a.Value)
		}
	}
}

func TestBIP32Vectors(t *testing.T) {
	for _, v := range bip32Vectors {
		seed := secretKey(ck.CKK_GENERIC_SECRET, unhex(v.seed))
		mpub, mpriv := bip32Derive(t, ck.CKM_BIP32_MASTER_DERIVE, seed,
			&BIP32MasterDeriveParams{PublicTemplate: anyTemplate, PrivateTemplate: anyTemplate})
		parentPub, parentPriv := mpub, mpriv
		for i, x := range v.chain {
			pub, priv := mpub, mpriv
			if len(x.path) > 0 { // the whole way from the master key
				pub, priv = bip32Derive(t, ck.CKM_BIP32_CHILD_DERIVE, mpriv,
					&BIP32ChildDeriveParams{PublicTemplate: anyTemplate, PrivateTemplate: anyTemplate, Path: x.path})
			}
			isExtended(t, pub, x.public)
			isExtended(t, priv, x.private)
			if i > 0 { // the last step, from the parent; from its public half too
				step := x.path[len(x.path)-1:]
				_, again := bip32Derive(t, ck.CKM_BIP32_CHILD_DERIVE, parentPriv, &BIP32ChildDeriveParams{PrivateTemplate: anyTemplate, Path: step})
				isExtended(t, again, x.private)
				if step[0]&hardened == 0 {
					again, _ = bip32Derive(t, ck.CKM_BIP32_CHILD_DERIVE, parentPub, &BIP32ChildDeriveParams{PublicTemplate: anyTemplate, Path: step})
					isExtended(t, again, x.public)
				}
			}
			parentPub, parentPriv = pub, priv
		}
	}
}

// Fingerprints and identifiers: a parent's is in its child, and the identifier
// of test vector 1's master key is in the first version of BIP 32.
func TestBIP32Identifier(t *testing.T) {
	pub, priv := bip32Derive(t, ck.CKM_BIP32_MASTER_DERIVE, secretKey(ck.CKK_GENERIC_SECRET, unhex(bip32Vectors[0].seed)),
		&BIP32MasterDeriveParams{PublicTemplate: anyTemplate, PrivateTemplate: anyTemplate})
	for _, k := range []*Key{pub, priv} {
		if got := hex.EncodeToString(k.Bytes(ck.CKA_BIP32_ID)); got != "3442193e1bb70916e914552172cd4e2dbc9df811" {
			t.Errorf("identifier %s", got)
		}
		if got := hex.EncodeToString(k.Bytes(ck.CKA_BIP32_FINGERPRINT)); got != "3442193e" {
			t.Errorf("fingerprint %s", got)
		}
	}
	_, child := bip32Derive(t, ck.CKM_BIP32_CHILD_DERIVE, priv, &BIP32ChildDeriveParams{PrivateTemplate: anyTemplate, Path: []uint64{7}})
	if got := child.Bytes(ck.CKA_BIP32_PARENT_FINGERPRINT); hex.EncodeToString(got) != "3442193e" {
		t.Errorf("the child's parent has fingerprint %x", got)
	}
}

// Test vector 5: keys that must not be taken.
func TestBIP32Invalid(t *testing.T) {
	for reason, list := range map[string][]string{
		"version of the other half": {
			"xpub661MyMwAqRbcEYS8w7XLSVeEsBXy79zSzH1J8vCdxAZningWLdN3zgtU6LBpB85b3D2yc8sfvZU521AAwdZafEz7mnzBBsz4wKY5fTtTQBm",
			"xprv9s21ZrQH143K24Mfq5zL5MhWK9hUhhGbd45hLXo2Pq2oqzMMo63oStZzFGTQQD3dC4H2D5GBj7vWvSQaaBv5cxi9gafk7NF3pnBju6dwKvH"},
		"prefix 04": {
			"xpub661MyMwAqRbcEYS8w7XLSVeEsBXy79zSzH1J8vCdxAZningWLdN3zgtU6Txnt3siSujt9RCVYsx4qHZGc62TG4McvMGcAUjeuwZdduYEvFn",
			"xprv9s21ZrQH143K24Mfq5zL5MhWK9hUhhGbd45hLXo2Pq2oqzMMo63oStZzFGpWnsj83BHtEy5Zt8CcDr1UiRXuWCmTQLxEK9vbz5gPstX92JQ"},
		"prefix 01": {
			"xpub661MyMwAqRbcEYS8w7XLSVeEsBXy79zSzH1J8vCdxAZningWLdN3zgtU6N8ZMMXctdiCjxTNq964yKkwrkBJJwpzZS4HS2fxvyYUA4q2Xe4",
			"xprv9s21ZrQH143K24Mfq5zL5MhWK9hUhhGbd45hLXo2Pq2oqzMMo63oStZzFAzHGBP2UuGCqWLTAPLcMtD9y5gkZ6Eq3Rjuahrv17fEQ3Qen6J"},
		"no depth, but a parent": {
			"xprv9s2SPatNQ9Vc6GTbVMFPFo7jsaZySyzk7L8n2uqKXJen3KUmvQNTuLh3fhZMBoG3G4ZW1N2kZuHEPY53qmbZzCHshoQnNf4GvELZfqTUrcv",
			"xpub661no6RGEX3uJkY4bNnPcw4URcQTrSibUZ4NqJEw5eBkv7ovTwgiT91XX27VbEXGENhYRCf7hyEbWrR3FewATdCEebj6znwMfQkhRYHRLpJ"},
		"no depth, but an index": {
			"xprv9s21ZrQH4r4TsiLvyLXqM9P7k1K3EYhA1kkD6xuquB5i39AU8KF42acDyL3qsDbU9NmZn6MsGSUYZEsuoePmjzsB3eFKSUEh3Gu1N3cqVUN",
			"xpub661MyMwAuDcm6CRQ5N4qiHKrJ39Xe1R1NyfouMKTTWcguwVcfrZJaNvhpebzGerh7gucBvzEQWRugZDuDXjNDRmXzSZe4c7mnTK97pTvGS8"},
		"unknown version": {
			"DMwo58pR1QLEFihHiXPVykYB6fJmsTeHvyTp7hRThAtCX8CvYzgPcn8XnmdfHGMQzT7ayAmfo4z3gY5KfbrZWZ6St24UVf2Qgo6oujFktLHdHY4",
			"DMwo58pR1QLEFihHiXPVykYB6fJmsTeHvyTp7hRThAtCX8CvYzgPcn8XnmdfHPmHJiEDXkTiJTVV9rHEBUem2mwVbbNfvT2MTcAqj3nesx8uBf9"},
		"private key 0 and n": {
			"xprv9s21ZrQH143K24Mfq5zL5MhWK9hUhhGbd45hLXo2Pq2oqzMMo63oStZzF93Y5wvzdUayhgkkFoicQZcP3y52uPPxFnfoLZB21Teqt1VvEHx",
			"xprv9s21ZrQH143K24Mfq5zL5MhWK9hUhhGbd45hLXo2Pq2oqzMMo63oStZzFAzHGBP2UuGCqWLTAPLcMtD5SDKr24z3aiUvKr9bJpdrcLg1y3G"},
		"not on the curve": {
			"xpub661MyMwAqRbcEYS8w7XLSVeEsBXy79zSzH1J8vCdxAZningWLdN3zgtU6Q5JXayek4PRsn35jii4veMimro1xefsM58PgBMrvdYre8QyULY"},
	} {
		for _, s := range list {
			x, ok := parseExtended(t, s)
			if !ok {
				t.Errorf("%s: wrong checksum", s)
			}
			class := ck.CKO_PUBLIC_KEY
			if strings.HasPrefix(s, "xprv") || s[0] == 'D' && x.key[0] == 0 {
				class = ck.CKO_PRIVATE_KEY
			}
			if _, err := completeBIP32(&Key{Class: class, Type: ck.CKK_BIP32, Attrs: x.attributes(class)}); ck.RVOf(err) != ck.CKR_ATTRIBUTE_VALUE_INVALID {
				t.Errorf("%s, %s: %v", reason, s, err)
			}
		}
	}
	// The sixteenth of vector 5 has a wrong checksum, which keys here have not.
	if _, ok := parseExtended(t, "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHL"); ok {
		t.Error("the checksum is right")
	}
}

func TestBIP32Refusals(t *testing.T) {
	seed := secretKey(ck.CKK_GENERIC_SECRET, unhex(bip32Vectors[0].seed))
	pub, priv := bip32Derive(t, ck.CKM_BIP32_MASTER_DERIVE, seed, &BIP32MasterDeriveParams{PublicTemplate: anyTemplate, PrivateTemplate: anyTemplate})
	deep := &Key{Class: priv.Class, Type: priv.Type, Attrs: append([]ck.Attribute{ck.NewULong(ck.CKA_BIP32_CHILD_DEPTH, uint64(254))}, priv.Attrs...)}
	master := func(list ...ck.Attribute) *BIP32MasterDeriveParams {
		return &BIP32MasterDeriveParams{PrivateTemplate: list}
	}
	path := func(steps ...uint64) *BIP32ChildDeriveParams {
		return &BIP32ChildDeriveParams{PublicTemplate: anyTemplate, Path: steps}
	}
	for i, c := range []struct {
		base *Key
		p    any
		want ck.RV
		at   uint64
	}{
		{secretKey(ck.CKK_GENERIC_SECRET, make([]byte, 15)), master(anyTemplate...), ck.CKR_BIP32_MASTER_SEED_LEN_INVALID, 0},
		{secretKey(ck.CKK_GENERIC_SECRET, make([]byte, 65)), master(anyTemplate...), ck.CKR_BIP32_MASTER_SEED_LEN_INVALID, 0},
		{seed, master(), ck.CKR_MECHANISM_PARAM_INVALID, 0},
		{seed, master(ck.NewULong(ck.CKA_KEY_TYPE, ck.CKK_EC)), ck.CKR_TEMPLATE_INCONSISTENT, 0},
		{seed, master(ck.NewULong(ck.CKA_CLASS, ck.CKO_PUBLIC_KEY)), ck.CKR_TEMPLATE_INCONSISTENT, 0},
		{seed, master(ck.NewBytes(ck.CKA_EC_PARAMS, unhex("06082a8648ce3d030107"))), ck.CKR_TEMPLATE_INCONSISTENT, 0},
		{seed, master(ck.NewBytes(ck.CKA_BIP32_VERSION_BYTES, bip32Versions[0].public[:])), ck.CKR_ATTRIBUTE_VALUE_INVALID, 0},
		{priv, &BIP32ChildDeriveParams{Path: []uint64{1}}, ck.CKR_MECHANISM_PARAM_INVALID, 0},
		{pub, &BIP32ChildDeriveParams{PrivateTemplate: anyTemplate, Path: []uint64{1}}, ck.CKR_MECHANISM_PARAM_INVALID, 0},
		{priv, path(), ck.CKR_BIP32_INVALID_KEY_PATH_LEN, 0},
		{priv, path(make([]uint64, 256)...), ck.CKR_BIP32_INVALID_KEY_PATH_LEN, 0},
		{deep, path(1, 2), ck.CKR_BIP32_INVALID_KEY_PATH_LEN, 0},
		{priv, path(1, 1<<32), ck.CKR_BIP32_CHILD_INDEX_INVALID, 1},
		{pub, path(1, 2, hardened), ck.CKR_BIP32_INVALID_HARDENED_DERIVATION, 2},
	} {
		m := ck.CKM_BIP32_MASTER_DERIVE
		if _, child := c.p.(*BIP32ChildDeriveParams); child {
			m = ck.CKM_BIP32_CHILD_DERIVE
		}
		if _, err := Find(m).DeriveKeys(c.base, c.p, &Derivation{}); ck.RVOf(err) != c.want {
			t.Errorf("case %d: %v, not %v", i, err, c.want)
		}
		if p, ok := c.p.(*BIP32ChildDeriveParams); ok && p.PathErrorIndex != c.at {
			t.Errorf("case %d: error at step %d, not %d", i, p.PathErrorIndex, c.at)
		}
	}
	if _, k := bip32Derive(t, ck.CKM_BIP32_CHILD_DERIVE, deep, &BIP32ChildDeriveParams{PrivateTemplate: anyTemplate, Path: []uint64{1}}); !bytes.Equal(k.Bytes(ck.CKA_BIP32_CHILD_DEPTH), ck.PutULong(uint64(255))) {
		t.Error("the last depth is not reached")
	}
	network := []ck.Attribute{ck.NewBytes(ck.CKA_BIP32_VERSION_BYTES, bip32Versions[1].private[:])}
	_, test := bip32Derive(t, ck.CKM_BIP32_MASTER_DERIVE, seed, &BIP32MasterDeriveParams{PrivateTemplate: network})
	child, _ := bip32Derive(t, ck.CKM_BIP32_CHILD_DERIVE, test, &BIP32ChildDeriveParams{PublicTemplate: anyTemplate, Path: []uint64{1}})
	if !bytes.Equal(child.Bytes(ck.CKA_BIP32_VERSION_BYTES), bip32Versions[1].public[:]) {
		t.Errorf("a child of the test network has version %x", child.Bytes(ck.CKA_BIP32_VERSION_BYTES))
	}
}

// Incomplete and malformed keys.
func TestBIP32Complete(t *testing.T) {
	_, priv := bip32Derive(t, ck.CKM_BIP32_MASTER_DERIVE, secretKey(ck.CKK_GENERIC_SECRET, unhex(bip32Vectors[0].seed)), &BIP32MasterDeriveParams{PrivateTemplate: anyTemplate})
	for i, c := range []struct {
		a    ck.Attribute
		want ck.RV
	}{
		{ck.NewBytes(ck.CKA_BIP32_CHAIN_CODE, nil), ck.CKR_TEMPLATE_INCOMPLETE},
		{ck.NewBytes(ck.CKA_BIP32_CHAIN_CODE, make([]byte, 31)), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{ck.NewBytes(ck.CKA_VALUE, nil), ck.CKR_TEMPLATE_INCOMPLETE},
		{ck.NewULong(ck.CKA_BIP32_CHILD_DEPTH, uint64(256)), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{ck.NewBytes(ck.CKA_BIP32_CHILD_INDEX, []byte{1}), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{ck.NewBytes(ck.CKA_BIP32_PARENT_FINGERPRINT, make([]byte, 5)), ck.CKR_ATTRIBUTE_VALUE_INVALID},
		{ck.NewBytes(ck.CKA_EC_PARAMS, unhex("06082a8648ce3d030107")), ck.CKR_TEMPLATE_INCONSISTENT},
	} {
		k := &Key{Class: priv.Class, Type: priv.Type, Attrs: append([]ck.Attribute{c.a}, priv.Attrs...)}
		if _, err := completeBIP32(k); ck.RVOf(err) != c.want {
			t.Errorf("case %d: %v, not %v", i, err, c.want)
		}
	}
	if _, err := completeBIP32(&Key{Class: ck.CKO_SECRET_KEY, Type: ck.CKK_BIP32}); err == nil {
		t.Error("a secret key of BIP 32")
	}
}

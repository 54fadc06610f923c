package main

import (
	"bytes"
	"context"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/migrate"
	"github.com/perilune/perilune/migrate/jks"
	"github.com/perilune/perilune/migrate/pkcs12"
)

// fileImport is one run of `import pem`, `import pkcs12` or `import jks`.
type fileImport struct {
	importer
	flags   *importFlags
	source  *pinFlag // password of key stores
	aliases []string
	remarks []string
}

// fileFlags adds the flags that imports of files have in common.
func (fi *fileImport) fileFlags(cmd *cobra.Command) {
	cmd.Args = someFiles
	fi.flags = fi.importFlags(cmd)
	cmd.Flags().BoolVar(&fi.noPublic, "no-public", false, "do not make a public key beside a private one")
	fi.keyPIN = pin(cmd, "key-pin", "password of encrypted keys")
}

func (a *app) importPEMCommand() *cobra.Command {
	fi := &fileImport{importer: importer{app: a, encoding: "raw"}}
	cmd := a.command("pem FILE...", "Bring keys and certificates from PEM and DER files", `Brings private keys (PKCS #8, PKCS #1, SEC 1), public keys and certificates from
PEM or DER files, any number in each; a directory stands for the files in it, -
for the standard input. It is 'perilune key import' with a report of all imports'
form; secret keys that are nothing but their bytes are for that command.

The identifier is the hash of the public key unless --id gives one, so that a
key, its public half and its certificate find each other. The label is the
file's name unless --label gives one.`,
		func(cmd *cobra.Command, args []string) error { return fi.readAll(cmd.Context(), args, fi.pemFile) })
	fi.fileFlags(cmd)
	fi.wishes = newKeyWishes(cmd)
	return cmd
}

func (a *app) importStoreCommand(name, what, long string) *cobra.Command {
	fi := &fileImport{importer: importer{app: a, encoding: "raw", wishes: &keyWishes{}}}
	cmd := a.command(name+" FILE...", "Bring "+what, long, func(cmd *cobra.Command, args []string) error {
		return fi.readAll(cmd.Context(), args, fi.storeFile)
	})
	fi.fileFlags(cmd)
	fi.wishes.useFlags(cmd)
	fi.source = pin(cmd, "source-pin", "password of the file")
	cmd.Flags().StringSliceVar(&fi.aliases, "alias", nil, "only what has one of these `names` (friendly names, aliases)")
	return cmd
}

func (a *app) importPKCS12Command() *cobra.Command {
	return a.importStoreCommand("pkcs12", "the keys and certificates of PKCS #12 files", `Brings what is in PKCS #12 files (.p12, .pfx, and Java's key stores of today): any
number of private keys, certificates with their chain, and secret keys.

Names become labels, and identifiers identifiers; a key without one gets the
hash of its public key, and its certificate the same. Keys that have a password
of their own need --key-pin.`)
}

func (a *app) importJKSCommand() *cobra.Command {
	return a.importStoreCommand("jks", "the keys and certificates of Java key stores", `Brings what is in Java's key stores: JKS, JCEKS, and PKCS #12, which Java calls
by the same names. Private keys come with the certificates of their chain,
trusted certificates and secret keys by themselves.

Aliases become labels. The identifier is the hash of the public key, so that a
key, its public half and its certificate find each other. Keys that have a
password of their own need --key-pin.`)
}

// readAll reads files, one after the other, and imports what is in them, with one
// report.
func (fi *fileImport) readAll(ctx context.Context, args []string, read func(ctx context.Context, path string) ([]item, error)) error {
	files, err := fi.importFiles(args)
	if err != nil {
		return err
	}
	if fi.id, err = fi.wishes.givenID(); err != nil {
		return err
	}
	if err := fi.checkFlags(files); err != nil {
		return err
	}
	var entries []entry
	var all []item
	for _, f := range files {
		items, err := read(ctx, f.path)
		var usage usageError
		switch {
		case errors.As(err, &usage) || ctx.Err() != nil:
			return err
		case errors.Is(err, errNoKey) && !f.listed:
			entries = append(entries, entry{source: f.path, skip: err.Error()})
		case err != nil:
			entries = append(entries, entry{source: f.path, err: err})
		}
		all = append(all, items...)
	}
	entries = append(fi.entries(all), entries...)
	defer clear(fi.password)
	if fi.keys, err = fi.openKeys(ctx, fi.flags.keys); err != nil {
		return err
	}
	title := printable(files[0].path)
	if len(files) > 1 {
		title = count(len(files), "file")
	}
	return fi.bring(ctx, fi.flags, fi.keys, title, entries, fi.remarks...)
}

// entries are what is to be imported of the items of all files.
func (fi *fileImport) entries(items []item) (list []entry) {
	var good []item
	for _, it := range items {
		_, err := fi.objectSet(it)
		if it.err != nil {
			err = it.err
		}
		if err != nil {
			list = append(list, entry{source: it.source, err: err})
			continue
		}
		good = append(good, it)
	}
	sets, err := fi.objects(good)
	if err != nil {
		return append(list, entry{err: err}) // each was made once before
	}
	for _, s := range sets {
		list = append(list, entry{source: s.source, object: s.main})
		if s.half != nil {
			list = append(list, entry{source: s.source, object: s.half, of: s.main})
		}
	}
	return list
}

func (fi *fileImport) pemFile(ctx context.Context, path string) ([]item, error) {
	items, err := fi.load(ctx, path)
	for i := range items {
		items[i].source = path
	}
	return items, err
}

// storeFile reads a key store, of whichever kind it is.
func (fi *fileImport) storeFile(ctx context.Context, path string) ([]item, error) {
	data, err := fi.readImport(path)
	if err != nil {
		return nil, err
	}
	isJKS := jks.Is(data)
	if !isJKS && !pkcs12.Is(data) {
		return nil, errors.New("it is no key store (PKCS #12, JKS, JCEKS); `perilune import pem` reads PEM and DER files")
	}
	if !isJKS && opensWithout(data) {
		items, err := fi.pkcs12Items(path, data, nil)
		if err != nil {
			return nil, err
		}
		return fi.chosen(path, items)
	}
	password, err := fi.currentPIN(ctx, fi.source, "source-pin", "key store "+path)
	if err != nil {
		return nil, err
	}
	defer clear(password)
	if err := fi.ownKeyPassword(ctx, path); err != nil {
		return nil, err
	}
	read := fi.pkcs12Items
	if isJKS {
		read = fi.jksItems
	}
	items, err := read(path, data, password)
	if err != nil {
		return nil, err
	}
	return fi.chosen(path, items)
}

// opensWithout reports whether a PKCS #12 file has no password, or the empty one,
// which nobody needs to be asked for.
func opensWithout(data []byte) bool {
	f, err := pkcs12.Open(data, nil, nil)
	return err == nil && !slices.ContainsFunc(f.Bags, func(b pkcs12.Bag) bool { return b.Err != nil && b.Kind != pkcs12.Other })
}

// ownKeyPassword gets the password that keys have beside that of their store; none
// unless a flag says where it comes from.
func (fi *fileImport) ownKeyPassword(ctx context.Context, path string) (err error) {
	if fi.keyPIN.source != "" && fi.password == nil {
		fi.password, err = fi.currentPIN(ctx, fi.keyPIN, "key-pin", "keys in "+path)
	}
	return err
}

// chosen are the items with the names of --alias.
func (fi *fileImport) chosen(path string, items []item) ([]item, error) {
	if len(fi.aliases) == 0 {
		return items, nil
	}
	var list []item
	for _, it := range items {
		if slices.ContainsFunc(fi.aliases, func(a string) bool { return strings.EqualFold(a, it.alias) }) {
			list = append(list, it)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("nothing in it has the name %s", strings.Join(fi.aliases, " or "))
	}
	return list, nil
}

func (fi *fileImport) pkcs12Items(path string, data, password []byte) ([]item, error) {
	f, err := pkcs12.Open(data, password, fi.password)
	if err != nil {
		return nil, err
	}
	if !f.Protected {
		fi.remarks = append(fi.remarks, printable(path)+" has no MAC, so nothing tells whether somebody changed it; the keys were proven against the certificates in it")
	}
	var items []item
	for i, b := range f.Bags {
		it := bagItem(&b)
		it.source = fmt.Sprintf("%s, bag %d", path, i+1)
		it.alias, it.label = b.Name, or(b.Name, labelOf(path, &it))
		items = append(items, it)
	}
	tie(items)
	return once(items), nil
}

// bagItem is a bag as an item.
func bagItem(b *pkcs12.Bag) (it item) {
	if b.Err != nil {
		return item{err: b.Err}
	}
	var err error
	switch b.Kind {
	case pkcs12.Key:
		it, err = privateItem(b.DER)
	case pkcs12.Certificate:
		it, err = certificateItem(b.DER)
	case pkcs12.Secret:
		it, err = secretInfoItem(b.DER)
	}
	it.err = err
	for _, id := range b.Lost {
		loss := migrate.Loss{What: "attribute " + id, Why: "PKCS#11 has none for it"}
		if id == oidTrustedUsage {
			it.trusted, loss = true, lostTrust
		}
		it.lost = append(it.lost, loss)
	}
	if !bytes.HasPrefix(b.ID, []byte("Time ")) { // Java's, which only ties a key to its certificate
		it.id = b.ID
	} else {
		it.knot = b.ID
	}
	return it
}

var lostTrust = migrate.Loss{What: "trust", Why: "only the Partition SO can make a certificate trusted"}

// oidTrustedUsage is how Java marks certificates that it trusts.
const oidTrustedUsage = "2.16.840.1.113894.746875.1.1"

// once leaves out of a chain what the file also has under a name of its own.
func once(items []item) (list []item) {
	for _, it := range items {
		named := slices.ContainsFunc(items, func(o item) bool {
			return o.trusted && !it.trusted && it.class == ck.CKO_CERTIFICATE && bytes.Equal(value(o.values, ck.CKA_VALUE), value(it.values, ck.CKA_VALUE))
		})
		if !named {
			list = append(list, it)
		}
	}
	return list
}

// tie gives certificates the identifier of the key that they belong to: by what
// the file ties together, else by the public key.
func tie(items []item) {
	for i := range items {
		c := &items[i]
		if c.class != ck.CKO_CERTIFICATE || c.err != nil || c.id != nil {
			continue
		}
		for _, k := range items {
			tied := len(c.knot) > 0 && bytes.Equal(c.knot, k.knot)
			if k.class == ck.CKO_PRIVATE_KEY && k.err == nil && (tied || bytes.Equal(c.spki, k.spki)) {
				if c.id = k.id; c.id == nil {
					c.id = k.identifier()
				}
				break
			}
		}
	}
}

// labelOf is a label for what has none: the name in a certificate, or that of the
// file.
func labelOf(path string, it *item) string {
	if it.class == ck.CKO_CERTIFICATE {
		if c, err := migrate.ParseCertificate(value(it.values, ck.CKA_VALUE)); err == nil && c.CommonName != "" {
			return c.CommonName
		}
	}
	return fileLabel(path)
}

func (fi *fileImport) jksItems(path string, data, password []byte) ([]item, error) {
	entries, err := jks.Open(data, password, fi.password)
	if err != nil {
		return nil, err
	}
	var items []item
	for _, e := range entries {
		for _, it := range entryItems(&e) {
			it.source, it.alias = path+", alias "+e.Alias, e.Alias
			if it.label == "" {
				it.label = e.Alias
			}
			if !e.Created.IsZero() {
				it.lost = append(it.lost, migrate.Loss{What: "creation date", Why: "PKCS#11 has no attribute for it"})
			}
			items = append(items, it)
		}
	}
	tie(items)
	return once(items), nil
}

// entryItems are the items of one alias: a key and its chain, a certificate, or a
// secret key.
func entryItems(e *jks.Entry) (items []item) {
	if e.Err != nil {
		items = append(items, item{err: e.Err})
	} else if e.Kind == jks.PrivateKey {
		it, err := privateItem(e.Key)
		it.err = err
		it.knot = []byte(e.Alias)
		items = append(items, it)
	} else if e.Kind == jks.SecretKey {
		items = append(items, secretItem(e.Algorithm, e.Key))
	}
	for i, der := range e.Certificates {
		it, err := certificateItem(der)
		it.err = err
		switch {
		case e.Kind == jks.Trusted:
			it.trusted, it.lost = true, append(it.lost, lostTrust)
		case i == 0:
			it.knot = []byte(e.Alias)
		default:
			it.label = labelOf(e.Alias, &it)
		}
		items = append(items, it)
	}
	return items
}

// secretTypes are the names and identifiers that Java gives the algorithms of
// secret keys.
var secretTypes = []struct {
	names   []string
	oids    []string
	keyType ck.KeyType
}{
	{[]string{"AES"}, []string{"2.16.840.1.101.3.4.1"}, ck.CKK_AES},
	{[]string{"DESede", "TripleDES"}, []string{"1.2.840.113549.3.7", "1.3.14.3.2.17"}, ck.CKK_DES3},
	{[]string{"DES"}, []string{"1.3.14.3.2.7"}, ck.CKK_DES},
	{[]string{"Blowfish"}, []string{"1.3.6.1.4.1.3029.1.1.2"}, ck.CKK_BLOWFISH},
	{[]string{"RC2"}, []string{"1.2.840.113549.3.2"}, ck.CKK_RC2},
	{[]string{"RC4", "ARCFOUR"}, []string{"1.2.840.113549.3.4"}, ck.CKK_RC4},
	{[]string{"ChaCha20"}, []string{"1.2.840.113549.1.9.16.3.18"}, ck.CKK_CHACHA20},
	{[]string{"Camellia"}, []string{"1.2.392.200011.61.1.1.1.2", "1.2.392.200011.61.1.1.1.4"}, ck.CKK_CAMELLIA},
	{[]string{"SEED"}, []string{"1.2.410.200004.1.4"}, ck.CKK_SEED},
	{[]string{"ARIA"}, []string{"1.2.410.200046.1.1.2", "1.2.410.200046.1.1.12"}, ck.CKK_ARIA},
	{[]string{"HmacMD5"}, []string{"1.3.6.1.5.5.8.1.1"}, ck.CKK_MD5_HMAC},
	{[]string{"HmacSHA1"}, []string{"1.2.840.113549.2.7"}, ck.CKK_SHA_1_HMAC},
	{[]string{"HmacSHA224"}, []string{"1.2.840.113549.2.8"}, ck.CKK_SHA224_HMAC},
	{[]string{"HmacSHA256"}, []string{"1.2.840.113549.2.9"}, ck.CKK_SHA256_HMAC},
	{[]string{"HmacSHA384"}, []string{"1.2.840.113549.2.10"}, ck.CKK_SHA384_HMAC},
	{[]string{"HmacSHA512"}, []string{"1.2.840.113549.2.11"}, ck.CKK_SHA512_HMAC},
	{[]string{"HmacSHA512/224"}, []string{"1.2.840.113549.2.12"}, ck.CKK_SHA512_224_HMAC},
	{[]string{"HmacSHA512/256"}, []string{"1.2.840.113549.2.13"}, ck.CKK_SHA512_256_HMAC},
	{[]string{"HmacSHA3-224"}, []string{"2.16.840.1.101.3.4.2.13"}, ck.CKK_SHA3_224_HMAC},
	{[]string{"HmacSHA3-256"}, []string{"2.16.840.1.101.3.4.2.14"}, ck.CKK_SHA3_256_HMAC},
	{[]string{"HmacSHA3-384"}, []string{"2.16.840.1.101.3.4.2.15"}, ck.CKK_SHA3_384_HMAC},
	{[]string{"HmacSHA3-512"}, []string{"2.16.840.1.101.3.4.2.16"}, ck.CKK_SHA3_512_HMAC},
}

// secretItem is a secret key whose algorithm goes by a name, or an identifier. One
// of an algorithm that PKCS#11 has no type for, such as a password, becomes a
// generic secret.
func secretItem(algorithm string, key []byte) item {
	it := item{class: ck.CKO_SECRET_KEY, keyType: ck.CKK_GENERIC_SECRET, values: []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, bytes.Clone(key))}}
	for _, t := range secretTypes {
		if slices.ContainsFunc(t.names, func(n string) bool { return strings.EqualFold(n, algorithm) }) || slices.Contains(t.oids, algorithm) {
			it.keyType = t.keyType
			return it
		}
	}
	it.lost = []migrate.Loss{{What: "algorithm " + printable(algorithm), Why: "PKCS#11 has no type for it; it is a generic secret now"}}
	return it
}

// secretInfoItem is a secret key that stands in PKCS #8, as Java has it.
func secretInfoItem(der []byte) (item, error) {
	var info privateKeyInfo
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return item{}, errors.New("it is damaged: no secret key as Java writes them")
	}
	return secretItem(info.Algorithm.OID.String(), info.Key), nil
}

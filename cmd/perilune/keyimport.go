package main

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
	"github.com/perilune/perilune/migrate"
	"github.com/perilune/perilune/migrate/pbe"
)

// importer is one run of `key import`.
type importer struct {
	*app
	keys     *keys
	wishes   *keyWishes
	id       []byte
	typ      string // type of raw secrets; empty for keys that tell their type
	encoding string
	noPublic bool
	keyPIN   *pinFlag
	password []byte // of encrypted keys, once somebody gave it
	hsm      *migrate.Importer
}

// importJSON is what `key import --json` tells of a file.
type importJSON struct {
	File    string      `json:"file"`
	Status  string      `json:"status"` // imported, skipped or failed
	Reason  string      `json:"reason,omitempty"`
	Objects []provenKey `json:"objects"`
}

// provenKey is an object that came in; proof says how a key was proven.
type provenKey struct {
	keyJSON
	Proof string `json:"proof,omitempty"`
}

func (a *app) keyImportCommand() *cobra.Command {
	var (
		f             *keyFlags
		im            = &importer{app: a}
		asJSON, shown *bool
	)
	cmd := a.command("import FILE...", "Import keys and certificates from files", `Imports private keys (PKCS #8, PKCS #1, SEC 1; PEM or DER), public keys and
certificates, or with --type secret keys that are nothing but their bytes. Any
number of files, directories with such files, or - for the standard input.

Encrypted keys must be PKCS #8 with PBES2, as 'openssl pkcs8 -topk8' and
'openssl genpkey' make them; their password comes from --key-pin or is asked for.

The identifier is the hash of the public key unless --id gives one, so that a
key, its public half and its certificate find each other. Keys that are in the
partition already are skipped. Each private and secret key is proven by using it,
and removed again if that fails. The label is the file's name unless --label gives
one. A private key brings its public half along unless --no-public says not to.`,
		func(cmd *cobra.Command, args []string) (err error) {
			ctx := cmd.Context()
			files, err := a.importFiles(args)
			if err != nil {
				return err
			}
			if im.id, err = im.wishes.givenID(); err != nil {
				return err
			}
			if err := im.checkFlags(files); err != nil {
				return err
			}
			if im.keys, err = a.openKeys(ctx, f); err != nil {
				return err
			}
			defer clear(im.password)
			im.hsm = &migrate.Importer{Module: im.keys.module, Session: im.keys.session}
			return im.run(ctx, files, *asJSON, *shown)
		})
	cmd.Args = someFiles
	f = a.keyFlags(cmd, false)
	im.wishes = newKeyWishes(cmd)
	cmd.Flags().StringVar(&im.typ, "type", "", "the files hold secret keys of this `type`: aes, des3, generic, hkdf, hmac-sha256 and the like")
	cmd.Flags().StringVar(&im.encoding, "encoding", "raw", "how secret keys are written: raw, hex or base64")
	cmd.Flags().BoolVar(&im.noPublic, "no-public", false, "do not make a public key beside a private one")
	im.keyPIN = pin(cmd, "key-pin", "password of encrypted keys")
	_ = cmd.RegisterFlagCompletionFunc("encoding", cobra.FixedCompletions([]string{"raw", "hex", "base64"}, cobra.ShellCompDirectiveNoFileComp))
	asJSON = jsonFlag(cmd)
	shown = progressFlag(cmd)
	return cmd
}

// someFiles wants arguments: which files to import.
func someFiles(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("say which files to import; `%s --help` tells which kinds there are", cmd.CommandPath())
	}
	return nil
}

// importFile is a file to import; listed says that somebody named it, rather
// than its directory.
type importFile struct {
	path   string
	listed bool
}

// importFiles lists the files of the arguments.
func (a *app) importFiles(args []string) (files []importFile, err error) {
	for _, arg := range args {
		if arg == "-" {
			files = append(files, importFile{arg, true})
			continue
		}
		info, err := os.Stat(arg)
		if err != nil {
			return nil, failing(err, "cannot import %s", arg)
		}
		if !info.IsDir() {
			files = append(files, importFile{arg, true})
			continue
		}
		entries, err := os.ReadDir(arg)
		if err != nil {
			return nil, failing(err, "cannot import the files of %s", arg)
		}
		for _, e := range entries {
			path := filepath.Join(arg, e.Name())
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
				files = append(files, importFile{path, false})
			}
		}
	}
	return files, nil
}

func (im *importer) checkFlags(files []importFile) error {
	if len(files) == 0 {
		return errors.New("there are no files to import")
	}
	if len(files) > 1 && (im.wishes.label != "" || im.id != nil) {
		return usagef("--label and --id are for one file; there are %d", len(files))
	}
	if im.encoding != "raw" && im.encoding != "hex" && im.encoding != "base64" {
		return usagef("--encoding %q: the encodings are raw, hex and base64", im.encoding)
	}
	if im.typ == "" {
		if im.encoding != "raw" {
			return usagef("--encoding is for secret keys; say of which --type they are")
		}
		return nil
	}
	spec, err := parseKeySpec(im.typ)
	if err == nil && spec.pair {
		err = usagef("--type is for secret keys: files with %s keys tell their type themselves", spec.name)
	}
	return err
}

// run imports the files one after the other. A file that fails does not keep
// the next from being imported.
func (im *importer) run(ctx context.Context, files []importFile, asJSON, shown bool) error {
	p := im.newProgress(shown, "importing")
	list := []importJSON{}
	var failed int
	for i, f := range files {
		if ctx.Err() != nil {
			break
		}
		p.step("importing %d of %d: %s", i+1, len(files), printable(f.path))
		j := im.file(ctx, f)
		if ctx.Err() != nil {
			break // what failed may have failed for that
		}
		if j.Status == "failed" {
			failed++
		}
		list = append(list, j)
	}
	p.stop()
	if asJSON {
		if err := im.printJSON(list); err != nil {
			return err
		}
	} else {
		im.print(list)
	}
	switch {
	case ctx.Err() != nil:
		return failing(ctx.Err(), "%d of %d files were looked at; the same command goes on", len(list), len(files))
	case failed > 0:
		return fmt.Errorf("%d of %d files were not imported into %s", failed, len(files), im.keys.target)
	}
	return nil
}

func (im *importer) print(list []importJSON) {
	imported := false
	for _, j := range list {
		switch j.Status {
		case "imported":
			imported = true
			for _, o := range j.Objects {
				line := fmt.Sprintf("%s: %s", printable(j.File), o.keyJSON)
				if o.Proof != "" {
					line += ": " + o.Proof
				}
				fmt.Fprintln(im.stdout, line)
			}
		default:
			fmt.Fprintf(im.stderr, "%s: %s: %s\n", printable(j.File), j.Status, j.Reason)
		}
	}
	if imported {
		fmt.Fprintf(im.stdout, "Imported into %s. The files are as they were: delete them if the HSM is to have the only copy of the keys.\n", im.keys.target)
	}
}

// maxImport bounds the size of a file.
const maxImport = 1 << 20

// errNoKey says that a file holds nothing to import.
var errNoKey = errors.New("there is no key or certificate in it (PEM or DER: PKCS #8, PKCS #1, SEC 1, X.509; for the bytes of a secret key, say its --type)")

func (im *importer) file(ctx context.Context, f importFile) importJSON {
	j := importJSON{File: f.path, Objects: []provenKey{}}
	items, err := im.load(ctx, f.path)
	var sets []*objectSet
	if err == nil {
		sets, err = im.objects(items)
	}
	if err == nil {
		j.Status = "skipped"
		for _, set := range sets {
			var made []provenKey
			if made, err = im.set(ctx, set); err != nil {
				break
			}
			if len(made) > 0 {
				j.Status = "imported"
			}
			j.Objects = append(j.Objects, made...)
		}
		if j.Status == "skipped" {
			j.Reason = "it is in the partition already"
		}
	}
	if errors.Is(err, errNoKey) && !f.listed {
		j.Status, j.Reason = "skipped", err.Error()
	} else if err != nil {
		j.Status, j.Reason = "failed", reason(err)
	}
	return j
}

// set imports an object and what comes with it: all or nothing, so that a file
// can be tried again. It returns what was not there before.
func (im *importer) set(ctx context.Context, set *objectSet) (made []provenKey, err error) {
	for _, o := range set.all() {
		r := im.hsm.Import(ctx, *o)
		if err = r.Err; err != nil {
			break
		}
		if r.Status == migrate.Present {
			continue
		}
		var j keyJSON
		j, err = im.keys.described(ctx, r.Handle)
		made = append(made, provenKey{j, r.Proof})
		if err != nil {
			made[len(made)-1].Handle = uint64(r.Handle)
			break
		}
	}
	if err == nil {
		return made, nil
	}
	for _, m := range made {
		_, undo := p11.Call(context.WithoutCancel(ctx), im.keys.module, &p11.DestroyObject{Session: im.keys.session, Object: ck.ObjectHandle(m.Handle)})
		err = errors.Join(err, undo)
	}
	return nil, err
}

// item is one key or certificate from a file.
type item struct {
	class   ck.ObjectClass
	keyType ck.KeyType
	label   string
	values  []ck.Attribute // that make the object
	public  []ck.Attribute // that make the public half of a private key
	spki    []byte
	id      []byte // that the source gives it
	knot    []byte // ties a key to its certificate, and is no identifier
	alias   string // its name in the source
	source  string // where in the source it is
	trusted bool   // a certificate that the source trusts for itself
	err     error  // why it cannot be read
	lost    []migrate.Loss
}

// load reads what is in a file.
func (im *importer) load(ctx context.Context, path string) ([]item, error) {
	data, err := im.readImport(path)
	if err != nil {
		return nil, err
	}
	label := im.wishes.label
	if label == "" && path != "-" {
		label = fileLabel(path)
	}
	var items []item
	if im.typ == "" {
		items, err = im.parse(ctx, path, data)
	} else {
		items, err = im.secret(data)
	}
	if err != nil {
		return nil, err
	}
	for i := range items {
		items[i].label, items[i].id = label, im.id
	}
	return items, nil
}

// fileLabel is the label of what has no other: the file's name.
func fileLabel(path string) string {
	return strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
}

func (im *importer) readImport(path string) ([]byte, error) {
	var r io.Reader
	if path == "-" {
		r = im.stdin
		if b := im.lines[0]; b != nil {
			r = b // a PIN came before
		}
	} else {
		f, err := os.Open(path)
		if err != nil {
			var pe *fs.PathError
			if errors.As(err, &pe) {
				err = pe.Err
			}
			return nil, err
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, maxImport+1))
	if err == nil && len(data) > maxImport {
		err = errors.New("the file is too large for a key or certificate")
	}
	return data, err
}

// secret is a secret key of which the file has nothing but the bytes.
func (im *importer) secret(data []byte) ([]item, error) {
	spec, err := parseKeySpec(im.typ)
	if err != nil {
		return nil, err
	}
	value := bytes.Clone(data)
	switch im.encoding {
	case "hex":
		value, err = hex.DecodeString(strings.TrimSpace(string(data)))
	case "base64":
		value, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(data)))
	}
	if err != nil {
		return nil, fmt.Errorf("it is not written in %s", im.encoding) // err would repeat a part of the key
	}
	if _, size, _ := strings.Cut(im.typ, ":"); size != "" && uint64(len(value)) != spec.size {
		return nil, fmt.Errorf("it has %d bytes, and %s has %d", len(value), im.typ, spec.size)
	}
	return []item{{class: ck.CKO_SECRET_KEY, keyType: spec.keyType, values: []ck.Attribute{ck.NewBytes(ck.CKA_VALUE, value)}}}, nil
}

// parse finds keys and certificates in PEM or DER.
func (im *importer) parse(ctx context.Context, path string, data []byte) ([]item, error) {
	if !bytes.Contains(data, []byte("-----BEGIN ")) {
		it, err := im.der(ctx, path, data)
		if err != nil {
			return nil, err
		}
		return []item{it}, nil
	}
	var items []item
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		it, err := im.block(ctx, path, block)
		if errors.Is(err, errNoKey) {
			continue // EC PARAMETERS, certificate requests and the like
		}
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	if len(items) == 0 {
		return nil, errNoKey
	}
	return items, nil
}

func (im *importer) block(ctx context.Context, path string, block *pem.Block) (item, error) {
	if strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return item{}, errors.New("it is encrypted in the old way of PEM, which protects badly; convert it: openssl pkcs8 -topk8 -in FILE -out NEW")
	}
	switch block.Type {
	case "PRIVATE KEY":
		return privateItem(block.Bytes)
	case "RSA PRIVATE KEY":
		return privateItem(wrapPKCS1(block.Bytes))
	case "EC PRIVATE KEY":
		der, err := wrapSEC1(block.Bytes)
		if err != nil {
			return item{}, err
		}
		return privateItem(der)
	case "ENCRYPTED PRIVATE KEY":
		return im.encrypted(ctx, path, block.Bytes)
	case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
		return certificateItem(block.Bytes)
	case "PUBLIC KEY":
		return publicItem(block.Bytes)
	case "OPENSSH PRIVATE KEY":
		return item{}, errors.New("it has the form of OpenSSH; convert a copy: ssh-keygen -p -m PKCS8 -f COPY")
	}
	return item{}, errNoKey
}

// der tells what a DER file is by trying.
func (im *importer) der(ctx context.Context, path string, data []byte) (item, error) {
	if _, err := engine.PrivateKeyAlgorithm(data); err == nil {
		return privateItem(data)
	}
	if isEncrypted(data) {
		return im.encrypted(ctx, path, data)
	}
	if der, err := wrapSEC1(data); err == nil {
		return privateItem(der)
	}
	if isPKCS1(data) {
		return privateItem(wrapPKCS1(data))
	}
	if it, err := certificateItem(data); err == nil {
		return it, nil
	}
	if it, err := publicItem(data); err == nil {
		return it, nil
	}
	return item{}, errNoKey
}

// isEncrypted tells an encrypted key by its algorithm.
func isEncrypted(der []byte) bool {
	var info pbe.EncryptedKey
	rest, err := asn1.Unmarshal(der, &info)
	return err == nil && len(rest) == 0 && pbe.Known(info.Algorithm.OID)
}

func (im *importer) encrypted(ctx context.Context, path string, der []byte) (item, error) {
	var info pbe.EncryptedKey
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		return item{}, pbe.ErrScheme
	}
	if im.password == nil {
		var err error
		im.password, err = im.currentPIN(ctx, im.keyPIN, "key-pin", "encrypted key "+path)
		if err != nil {
			return item{}, err
		}
	}
	plain, err := pbe.Open(info.Algorithm, im.password, info.Data)
	if err != nil {
		return item{}, err
	}
	if _, err := engine.PrivateKeyAlgorithm(plain); err != nil {
		return item{}, pbe.ErrPassword
	}
	return privateItem(plain)
}

// privateItem is a PKCS #8 private key.
func privateItem(der []byte) (item, error) {
	alg, err := engine.PrivateKeyAlgorithm(der)
	if err != nil {
		return item{}, errors.New("it is damaged: no PKCS #8 private key")
	}
	for _, t := range engine.KeyTypes() {
		if !slices.Contains(t.OIDs, alg) {
			continue
		}
		values, err := t.UnmarshalPKCS8(der)
		if err != nil {
			return item{}, err
		}
		k := &engine.Key{Class: ck.CKO_PRIVATE_KEY, Type: t.Type, Attrs: values}
		added, err := t.Complete(k)
		if err != nil {
			return item{}, err
		}
		whole := &engine.Key{Class: k.Class, Type: t.Type, Attrs: append(added, values...)} // what was added comes first, and counts
		spki, err := t.PublicInfo(whole)
		if err != nil {
			return item{}, err
		}
		_, public, err := engine.UnmarshalPublicKey(spki)
		return item{class: k.Class, keyType: t.Type, values: values, spki: spki, public: public}, err
	}
	return item{}, fmt.Errorf("the HSM has no keys of its algorithm (OID %s)", alg)
}

// subjectPublicKeyInfo is RFC 5280, section 4.1.
type subjectPublicKeyInfo struct {
	Algorithm struct {
		OID    asn1.ObjectIdentifier
		Params asn1.RawValue `asn1:"optional"`
	}
	Key asn1.BitString
}

func publicItem(der []byte) (item, error) {
	var info subjectPublicKeyInfo
	if rest, err := asn1.Unmarshal(der, &info); err != nil || len(rest) > 0 {
		return item{}, errors.New("it is damaged: no SubjectPublicKeyInfo")
	}
	if alg := info.Algorithm.OID.String(); !hasAlgorithm(alg) {
		return item{}, fmt.Errorf("the HSM has no keys of its algorithm (OID %s)", alg)
	}
	t, values, err := engine.UnmarshalPublicKey(der)
	return item{class: ck.CKO_PUBLIC_KEY, keyType: t, spki: der, values: values}, err
}

// hasAlgorithm reports whether there are keys of an algorithm.
func hasAlgorithm(oid string) bool {
	return slices.ContainsFunc(engine.KeyTypes(), func(t *engine.KeyType) bool { return slices.Contains(t.OIDs, oid) })
}

func certificateItem(der []byte) (item, error) {
	c, err := migrate.ParseCertificate(der)
	if err != nil {
		return item{}, err
	}
	return item{class: ck.CKO_CERTIFICATE, spki: c.PublicKey, values: []ck.Attribute{
		ck.NewULong(ck.CKA_CERTIFICATE_TYPE, ck.CKC_X_509),
		ck.NewBytes(ck.CKA_SUBJECT, c.Subject),
		ck.NewBytes(ck.CKA_ISSUER, c.Issuer),
		ck.NewBytes(ck.CKA_SERIAL_NUMBER, c.SerialNumber),
		ck.NewBytes(ck.CKA_VALUE, der),
		ck.NewBytes(ck.CKA_START_DATE, []byte(c.NotBefore.UTC().Format("20060102"))),
		ck.NewBytes(ck.CKA_END_DATE, []byte(c.NotAfter.UTC().Format("20060102"))),
	}}, nil
}

// objectSet is an object to import, and what comes with it: the public half of a
// private key, which is made of it.
type objectSet struct {
	main, half *migrate.Object
	source     string
}

func (s *objectSet) all() []*migrate.Object {
	if s.half == nil {
		return []*migrate.Object{s.main}
	}
	return []*migrate.Object{s.main, s.half}
}

// objects are what is to be made of the items of one source, in order.
func (im *importer) objects(items []item) ([]*objectSet, error) {
	sets := map[*migrate.Object]*objectSet{}
	var mains []*migrate.Object
	for _, it := range items {
		set, err := im.objectSet(it)
		if err != nil {
			return nil, err
		}
		mains, sets[set.main] = append(mains, set.main), set
	}
	migrate.Arrange(mains)
	var list []*objectSet
	for _, o := range mains {
		list = append(list, sets[o])
	}
	return list, nil
}

func (im *importer) objectSet(it item) (*objectSet, error) {
	id := it.id
	if id == nil {
		id = it.identifier()
	}
	anyID := id == nil
	if anyID { // a secret key tells nothing of itself
		id = newID()
	}
	public, private, err := im.templates(it, id)
	if err != nil {
		return nil, err
	}
	template := private
	if it.class == ck.CKO_PUBLIC_KEY || it.class == ck.CKO_CERTIFICATE {
		template = public
	}
	set := &objectSet{main: newObject(it.class, it.keyType, template, it.values), source: it.source}
	set.main.Lost, set.main.AnyID = it.lost, anyID
	set.main.AnyLabel = it.class != ck.CKO_SECRET_KEY
	if it.public != nil && !im.noPublic {
		set.half = newObject(ck.CKO_PUBLIC_KEY, it.keyType, public, it.public)
		set.half.AnyLabel = true
	}
	return set, nil
}

func newObject(class ck.ObjectClass, t ck.KeyType, template, values []ck.Attribute) *migrate.Object {
	all := []ck.Attribute{ck.NewULong(ck.CKA_CLASS, class)}
	if class != ck.CKO_CERTIFICATE {
		all = append(all, ck.NewULong(ck.CKA_KEY_TYPE, t))
	}
	return &migrate.Object{Attrs: slices.Concat(all, template, values)}
}

// identifier is the hash of the public key (RFC 5280, section 4.2.1.2); a secret
// key has none.
func (it item) identifier() []byte {
	var info subjectPublicKeyInfo
	if _, err := asn1.Unmarshal(it.spki, &info); err != nil {
		return nil
	}
	sum := sha1.Sum(info.Key.Bytes)
	return sum[:]
}

// templates are the attributes beside those that make the object.
func (im *importer) templates(it item, id []byte) (public, private []ck.Attribute, err error) {
	if it.class == ck.CKO_CERTIFICATE {
		return []ck.Attribute{
			ck.NewBool(ck.CKA_TOKEN, true), ck.NewBool(ck.CKA_PRIVATE, false),
			ck.NewBytes(ck.CKA_LABEL, []byte(it.label)), ck.NewBytes(ck.CKA_ID, id),
		}, nil, nil
	}
	kind := kindOf(it.keyType, it.values)
	if kind == nil {
		return nil, nil, fmt.Errorf("the program does not know keys of type %s", it.keyType)
	}
	return im.wishes.templates(*kind, id, it.label)
}

// Forms of private keys that are put into a PKCS #8 envelope. The HSM checks
// what is inside.
type (
	algorithm struct {
		OID    asn1.ObjectIdentifier
		Params asn1.RawValue `asn1:"optional"`
	}
	privateKeyInfo struct {
		Version   int
		Algorithm algorithm
		Key       []byte
	}
)

// wrapPKCS1 wraps an RSAPrivateKey (RFC 8017, appendix A.1.2).
func wrapPKCS1(der []byte) []byte {
	return mustMarshal(privateKeyInfo{Algorithm: algorithm{
		OID: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, Params: asn1.NullRawValue}, Key: der})
}

// isPKCS1 tells an RSAPrivateKey by its first numbers.
func isPKCS1(der []byte) bool {
	var key struct {
		Version int
		N, E    *big.Int
	}
	var seq asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &seq); err != nil || len(rest) > 0 || seq.Tag != asn1.TagSequence {
		return false
	}
	rest, err := asn1.Unmarshal(seq.Bytes, &key.Version)
	if err != nil || key.Version != 0 {
		return false
	}
	if rest, err = asn1.Unmarshal(rest, &key.N); err != nil {
		return false
	}
	rest, err = asn1.Unmarshal(rest, &key.E)
	return err == nil && len(rest) > 0
}

// wrapSEC1 wraps an ECPrivateKey (RFC 5915) that names its curve.
func wrapSEC1(der []byte) ([]byte, error) {
	var key struct {
		Version int
		Private []byte
		Params  asn1.RawValue  `asn1:"optional,explicit,tag:0"` // with its tag
		Public  asn1.BitString `asn1:"optional,explicit,tag:1"`
	}
	if rest, err := asn1.Unmarshal(der, &key); err != nil || len(rest) > 0 || key.Version != 1 {
		return nil, errors.New("it is damaged: no SEC 1 private key")
	}
	if len(key.Params.Bytes) == 0 {
		return nil, errors.New("the EC private key does not name its curve")
	}
	return mustMarshal(privateKeyInfo{Algorithm: algorithm{
		OID: asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}, Params: asn1.RawValue{FullBytes: key.Params.Bytes}}, Key: der}), nil
}

func mustMarshal(v any) []byte {
	der, err := asn1.Marshal(v)
	if err != nil {
		panic(err) // structures of ours, with bytes in them
	}
	return der
}

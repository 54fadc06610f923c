package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/store"
)

func (a *app) keyCommand() *cobra.Command {
	cmd := a.group("key", "Keys and certificates in a partition", "")
	cmd.AddCommand(a.keyGenerateCommand(), a.keyImportCommand(), a.keyListCommand(), a.keyShowCommand(),
		a.keyExportCommand(), a.keyDeleteCommand())
	return cmd
}

// keys is a session of somebody who may see keys.
type keys struct {
	module  p11.Module
	session ck.SessionHandle
	target  target
	public  bool // sees public objects only, even if the shell is logged in
}

// keyFlags are the flags of all commands on keys: which partition, and who.
type keyFlags struct {
	at     *targetFlags
	role   *string
	public *bool
	pin    *pinFlag
	flags  *pflag.FlagSet
}

// keyFlags adds them. Commands that only look can also be used by the Crypto
// User, or by nobody.
func (a *app) keyFlags(cmd *cobra.Command, looksOnly bool) *keyFlags {
	f := &keyFlags{at: a.targetFlags(cmd), flags: cmd.Flags()}
	if looksOnly {
		f.role = roleFlag(cmd, "co", "co", "lco", "cu")
		f.public = cmd.Flags().Bool("public", false, "do not log in: see public keys and certificates only")
	} else {
		f.role = roleFlag(cmd, "co", "co", "lco")
	}
	f.pin = pin(cmd, "pin", "PIN of the role")
	if looksOnly {
		cmd.MarkFlagsMutuallyExclusive("public", "pin")
	}
	return f
}

// openKeys opens a session and logs in.
func (a *app) openKeys(ctx context.Context, f *keyFlags) (*keys, error) {
	d, err := roleNamed(*f.role)
	if err != nil {
		return nil, err
	}
	if d.flag != "pin" {
		return nil, usagef("--role %s: the %s sees no keys; the roles are co, lco and cu", d.short, d.role)
	}
	t, err := a.theInitialised(ctx, f.at)
	if err != nil {
		return nil, err
	}
	k := &keys{target: t}
	if f.public != nil && *f.public {
		k.public = true
		k.module, k.session, err = a.openSession(ctx, t)
		return k, err
	}
	if l, ok := a.held(t.slot); ok && !f.flags.Changed("role") {
		d.role = l.role
	}
	k.module, k.session, err = a.login(ctx, t, d.role, f.pin, "pin")
	return k, err
}

// classDef is a class of objects by the name that the program gives it.
type classDef struct {
	name  string
	class ck.ObjectClass
	noun  string
}

// classes are the classes of objects that the program deals with.
var classes = []classDef{
	{"private", ck.CKO_PRIVATE_KEY, "private key"},
	{"public", ck.CKO_PUBLIC_KEY, "public key"},
	{"secret", ck.CKO_SECRET_KEY, "secret key"},
	{"cert", ck.CKO_CERTIFICATE, "certificate"},
}

func classNamed(name string) (ck.ObjectClass, error) {
	for _, c := range classes {
		if strings.EqualFold(c.name, name) {
			return c.class, nil
		}
	}
	return 0, usagef("--class %q: the classes are private, public, secret and cert", name)
}

// className is the short name of a class.
func className(class ck.ObjectClass) string {
	for _, c := range classes {
		if c.class == class {
			return c.name
		}
	}
	return class.String()
}

// nounOf puts the short name of a class into words, if they have one.
func nounOf(name string) string {
	for _, c := range classes {
		if c.name == name {
			return c.noun
		}
	}
	return name
}

// selection is which objects a command is about.
type selection struct {
	label, id, class string
	handle           string
}

func (a *app) selectionFlags(cmd *cobra.Command, f *keyFlags) *selection {
	s := new(selection)
	cmd.Flags().StringVar(&s.label, "label", "", "objects with this label")
	cmd.Flags().StringVar(&s.id, "id", "", "objects with this identifier (CKA_ID), in `hex`")
	cmd.Flags().StringVar(&s.class, "class", "", "objects of this class: private, public, secret or cert")
	cmd.Flags().StringVar(&s.handle, "handle", "", "the object with this `number`, as `key list` shows it")
	for flag, value := range map[string]func(keyJSON) string{
		"label":  func(j keyJSON) string { return j.Label },
		"id":     func(j keyJSON) string { return j.ID },
		"handle": func(j keyJSON) string { return fmt.Sprint(j.Handle) },
	} {
		_ = cmd.RegisterFlagCompletionFunc(flag, a.completeKeys(f, value))
	}
	_ = cmd.RegisterFlagCompletionFunc("class", cobra.FixedCompletions([]string{"private", "public", "secret", "cert"}, cobra.ShellCompDirectiveNoFileComp))
	return s
}

// narrow reports whether something names single objects.
func (s *selection) narrow() bool { return s.label != "" || s.id != "" || s.handle != "" }

// template is what C_FindObjects looks for.
func (s *selection) template() ([]ck.Attribute, error) {
	t := []ck.Attribute{ck.NewBool(ck.CKA_TOKEN, true)}
	if s.id != "" {
		id, err := parseID(s.id)
		if err != nil {
			return nil, err
		}
		t = append(t, ck.NewBytes(ck.CKA_ID, id))
	}
	if s.label != "" {
		t = append(t, ck.NewBytes(ck.CKA_LABEL, []byte(s.label)))
	}
	if s.class != "" {
		class, err := classNamed(s.class)
		if err != nil {
			return nil, err
		}
		t = append(t, ck.NewULong(ck.CKA_CLASS, class))
	}
	return t, nil
}

// String describes the selection for messages.
func (s *selection) String() string {
	var list []string
	for _, x := range []struct{ name, value string }{{"label", s.label}, {"id", s.id}, {"class", s.class}, {"handle", s.handle}} {
		if x.value != "" {
			list = append(list, fmt.Sprintf("%s %q", x.name, x.value))
		}
	}
	return strings.Join(list, " and ")
}

func parseID(text string) ([]byte, error) {
	id, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil || len(id) == 0 {
		return nil, usagef("--id %q: an identifier is written in hex, as in 01 or a1:b2", text)
	}
	return id, nil
}

// find returns the handles of the objects that match, in rising order.
func (k *keys) find(ctx context.Context, template []ck.Attribute) (list []ck.ObjectHandle, err error) {
	if _, err := p11.Call(ctx, k.module, &p11.FindObjectsInit{Session: k.session, Template: template}); err != nil {
		return nil, err
	}
	defer func() {
		_, finalErr := p11.Call(ctx, k.module, &p11.FindObjectsFinal{Session: k.session})
		err = errors.Join(err, finalErr)
	}()
	for {
		r, err := p11.Call(ctx, k.module, &p11.FindObjects{Session: k.session, Max: 1000})
		if err != nil {
			return nil, err
		}
		if len(r.Objects) == 0 {
			slices.Sort(list)
			return list, nil
		}
		list = append(list, r.Objects...)
	}
}

// attributes reads attributes; those that an object does not have are left out.
func (k *keys) attributes(ctx context.Context, h ck.ObjectHandle, types ...ck.AttributeType) ([]ck.Attribute, error) {
	r, err := p11.Call(ctx, k.module, &p11.GetAttributeValue{Session: k.session, Object: h, Types: types})
	switch ck.RVOf(err) {
	case ck.CKR_OK, ck.CKR_ATTRIBUTE_TYPE_INVALID, ck.CKR_ATTRIBUTE_SENSITIVE:
	default:
		return nil, err
	}
	var list []ck.Attribute
	for _, a := range r.Results {
		if a.RV == ck.CKR_OK {
			list = append(list, a.Attribute)
		}
	}
	return list, nil
}

// keyJSON is what --json tells of an object.
type keyJSON struct {
	Handle      uint64   `json:"handle"`
	Class       string   `json:"class"`
	Type        string   `json:"type"`
	Label       string   `json:"label"`
	ID          string   `json:"id"`
	Private     bool     `json:"private"`
	Sensitive   bool     `json:"sensitive"`
	Extractable bool     `json:"extractable"`
	Usage       []string `json:"usage"`
}

// usageNames are the attributes that tell what a key may be used for.
var usageNames = []struct {
	t    ck.AttributeType
	name string
}{
	{ck.CKA_ENCRYPT, "encrypt"}, {ck.CKA_DECRYPT, "decrypt"}, {ck.CKA_SIGN, "sign"}, {ck.CKA_VERIFY, "verify"},
	{ck.CKA_WRAP, "wrap"}, {ck.CKA_UNWRAP, "unwrap"}, {ck.CKA_DERIVE, "derive"},
	{ck.CKA_ENCAPSULATE, "encapsulate"}, {ck.CKA_DECAPSULATE, "decapsulate"},
}

// listed are the attributes that a list needs.
var listed = []ck.AttributeType{
	ck.CKA_CLASS, ck.CKA_KEY_TYPE, ck.CKA_CERTIFICATE_TYPE, ck.CKA_LABEL, ck.CKA_ID, ck.CKA_PRIVATE,
	ck.CKA_SENSITIVE, ck.CKA_EXTRACTABLE, ck.CKA_MODULUS, ck.CKA_EC_PARAMS, ck.CKA_VALUE_LEN, ck.CKA_PARAMETER_SET, ck.CKA_PRIME,
	ck.CKA_ENCRYPT, ck.CKA_DECRYPT, ck.CKA_SIGN, ck.CKA_VERIFY, ck.CKA_WRAP, ck.CKA_UNWRAP, ck.CKA_DERIVE,
	ck.CKA_ENCAPSULATE, ck.CKA_DECAPSULATE,
}

func newKeyJSON(h ck.ObjectHandle, attrs []ck.Attribute) keyJSON {
	class := ck.ObjectClass(number(attrs, ck.CKA_CLASS))
	j := keyJSON{
		Handle: uint64(h), Label: string(value(attrs, ck.CKA_LABEL)), ID: hex.EncodeToString(value(attrs, ck.CKA_ID)),
		Private: truth(attrs, ck.CKA_PRIVATE), Sensitive: truth(attrs, ck.CKA_SENSITIVE), Extractable: truth(attrs, ck.CKA_EXTRACTABLE),
		Usage: []string{},
	}
	j.Class, j.Type = className(class), objectType(class, attrs)
	for _, u := range usageNames {
		if truth(attrs, u.t) {
			j.Usage = append(j.Usage, u.name)
		}
	}
	return j
}

// objectType names the type of a key or certificate; empty if it has none.
func objectType(class ck.ObjectClass, attrs []ck.Attribute) string {
	switch {
	case ck.Find(attrs, ck.CKA_KEY_TYPE) != nil:
		return typeName(class, ck.KeyType(number(attrs, ck.CKA_KEY_TYPE)), attrs)
	case class == ck.CKO_CERTIFICATE && number(attrs, ck.CKA_CERTIFICATE_TYPE) == uint64(ck.CKC_X_509):
		return "x509"
	}
	return ""
}

func value(attrs []ck.Attribute, t ck.AttributeType) []byte {
	if a := ck.Find(attrs, t); a != nil {
		return a.Value
	}
	return nil
}

func number(attrs []ck.Attribute, t ck.AttributeType) uint64 {
	n, _ := ck.ULong(value(attrs, t))
	return n
}

func truth(attrs []ck.Attribute, t ck.AttributeType) bool {
	b, _ := ck.Bool(value(attrs, t))
	return b
}

// described reads what a list shows of one object.
func (k *keys) described(ctx context.Context, h ck.ObjectHandle) (keyJSON, error) {
	attrs, err := k.attributes(ctx, h, listed...)
	if err != nil {
		return keyJSON{}, err
	}
	return newKeyJSON(h, attrs), nil
}

// selected returns the keys and certificates that match a selection.
func (k *keys) selected(ctx context.Context, s *selection, p *progress) ([]keyJSON, error) {
	template, err := s.template()
	if err != nil {
		return nil, err
	}
	if k.public {
		template = append(template, ck.NewBool(ck.CKA_PRIVATE, false))
	}
	doing := "cannot look for keys in " + k.target.String()
	handles, err := k.find(ctx, template)
	if err != nil {
		return nil, failing(err, "%s", doing)
	}
	if s.handle != "" {
		n, err := strconv.ParseUint(s.handle, 0, 64)
		if err != nil {
			return nil, usagef("--handle %q is not a number", s.handle)
		}
		handles = slices.DeleteFunc(handles, func(h ck.ObjectHandle) bool { return uint64(h) != n })
	}
	list := []keyJSON{}
	for i, h := range handles {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if i%500 == 0 {
			p.step("reading %d of %d", i, len(handles))
		}
		j, err := k.described(ctx, h)
		if ck.RVOf(err) == ck.CKR_OBJECT_HANDLE_INVALID {
			continue // another program destroyed it meanwhile
		}
		if errors.Is(err, store.ErrCorrupt) {
			continue // damaged, which the HSM logs; it hides no other
		}
		if err != nil {
			return nil, failing(err, "%s", doing)
		}
		if slices.ContainsFunc(classes, func(c classDef) bool { return c.name == j.Class }) {
			list = append(list, j)
		}
	}
	return list, nil
}

// matching is selected for commands that need something to work on.
func (k *keys) matching(ctx context.Context, s *selection) ([]keyJSON, error) {
	list, err := k.selected(ctx, s, nil)
	if err == nil && len(list) == 0 {
		err = k.noMatch(s)
	}
	return list, err
}

// noMatch says that a selection found nothing.
func (k *keys) noMatch(s *selection) error {
	return &problem{doing: "cannot find the key", err: fmt.Errorf("%s has none with %s", k.target, s),
		fix: "`perilune key list` shows what there is"}
}

func (a *app) keyListCommand() *cobra.Command {
	var (
		f      *keyFlags
		s      *selection
		asJSON *bool
		shown  *bool
	)
	cmd := a.command("list", "List keys and certificates", "", func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		k, err := a.openKeys(ctx, f)
		if err != nil {
			return err
		}
		p := a.newProgress(*shown, "looking for keys")
		list, err := k.selected(ctx, s, p)
		p.stop()
		switch {
		case err != nil:
			return err
		case *asJSON:
			return a.printJSON(list)
		case len(list) == 0:
			fmt.Fprintf(a.stdout, "No keys or certificates in %s.\n", k.target)
			return nil
		}
		return a.printKeys(list)
	})
	f = a.keyFlags(cmd, true)
	s = a.selectionFlags(cmd, f)
	asJSON = jsonFlag(cmd)
	shown = progressFlag(cmd)
	return cmd
}

func (a *app) printKeys(list []keyJSON) error {
	var rows [][]string
	for _, j := range list {
		var traits []string
		if j.Sensitive {
			traits = append(traits, "sensitive")
		}
		if j.Extractable {
			traits = append(traits, "extractable")
		}
		rows = append(rows, []string{
			fmt.Sprint(j.Handle), j.Class, or(j.Type, "-"), or(j.ID, "-"), or(j.Label, "-"),
			or(strings.Join(j.Usage, ","), "-"), or(strings.Join(traits, ","), "-"),
		})
	}
	return table(a.stdout, []string{"Handle", "Class", "Type", "ID", "Label", "Usage", "Traits"}, rows)
}

// keyDetailsJSON is what `key show --json` tells of an object.
type keyDetailsJSON struct {
	keyJSON
	UniqueID         string `json:"unique_id"`
	OUID             string `json:"ouid"`
	Local            bool   `json:"local"`
	NeverExtractable bool   `json:"never_extractable"`
	AlwaysSensitive  bool   `json:"always_sensitive"`
	Modifiable       bool   `json:"modifiable"`
	Mechanism        string `json:"key_gen_mechanism,omitempty"`
	CheckValue       string `json:"check_value,omitempty"`
	PublicKeySHA256  string `json:"public_key_sha256,omitempty"`
	Bytes            uint64 `json:"bytes"`
	URI              string `json:"uri"`
}

func (k *keys) details(ctx context.Context, j keyJSON) (keyDetailsJSON, error) {
	h := ck.ObjectHandle(j.Handle)
	attrs, err := k.attributes(ctx, h, ck.CKA_UNIQUE_ID, ck.CKA_OUID, ck.CKA_LOCAL, ck.CKA_NEVER_EXTRACTABLE, ck.CKA_ALWAYS_SENSITIVE,
		ck.CKA_MODIFIABLE, ck.CKA_KEY_GEN_MECHANISM, ck.CKA_CHECK_VALUE, ck.CKA_PUBLIC_KEY_INFO)
	if err != nil {
		return keyDetailsJSON{}, err
	}
	size, err := p11.Call(ctx, k.module, &p11.GetObjectSize{Session: k.session, Object: h})
	if err != nil && ck.RVOf(err) != ck.CKR_INFORMATION_SENSITIVE {
		return keyDetailsJSON{}, err
	}
	d := keyDetailsJSON{
		keyJSON: j, UniqueID: string(value(attrs, ck.CKA_UNIQUE_ID)), OUID: hex.EncodeToString(value(attrs, ck.CKA_OUID)), Local: truth(attrs, ck.CKA_LOCAL),
		NeverExtractable: truth(attrs, ck.CKA_NEVER_EXTRACTABLE), AlwaysSensitive: truth(attrs, ck.CKA_ALWAYS_SENSITIVE),
		Modifiable: truth(attrs, ck.CKA_MODIFIABLE), CheckValue: hex.EncodeToString(value(attrs, ck.CKA_CHECK_VALUE)),
		Bytes: size.Bytes, URI: k.uri(j),
	}
	if a := ck.Find(attrs, ck.CKA_KEY_GEN_MECHANISM); a != nil {
		if n, ok := ck.ULong(a.Value); ok && n != ck.UnavailableInformation {
			d.Mechanism = ck.MechanismType(n).String()
		}
	}
	if spki := value(attrs, ck.CKA_PUBLIC_KEY_INFO); len(spki) > 0 {
		sum := sha256.Sum256(spki)
		d.PublicKeySHA256 = hex.EncodeToString(sum[:])
	}
	return d, nil
}

// uri is the object's PKCS#11 URI (RFC 7512), which many clients take.
func (k *keys) uri(j keyJSON) string {
	parts := []string{"token=" + uriEscape(k.target.info.Label), "serial=" + uriEscape(k.target.info.Serial)}
	if j.ID != "" {
		var id strings.Builder
		for i := 0; i < len(j.ID); i += 2 {
			id.WriteString("%" + strings.ToUpper(j.ID[i:i+2]))
		}
		parts = append(parts, "id="+id.String())
	}
	if j.Label != "" {
		parts = append(parts, "object="+uriEscape(j.Label))
	}
	kinds := map[string]string{"private": "private", "public": "public", "secret": "secret-key", "cert": "cert"}
	return "pkcs11:" + strings.Join(append(parts, "type="+kinds[j.Class]), ";")
}

// uriEscape escapes all but the unreserved characters of RFC 3986.
func uriEscape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func (a *app) keyShowCommand() *cobra.Command {
	var (
		f      *keyFlags
		s      *selection
		asJSON *bool
	)
	cmd := a.command("show", "Show keys and certificates in detail", "", func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		if !s.narrow() {
			return usagef("say which key to show, with --label, --id or --handle; `perilune key list` lists all")
		}
		k, err := a.openKeys(ctx, f)
		if err != nil {
			return err
		}
		list, err := k.matching(ctx, s)
		if err != nil {
			return err
		}
		all := []keyDetailsJSON{}
		for _, j := range list {
			d, err := k.details(ctx, j)
			if err != nil {
				return failing(err, "cannot show the object with handle %d", j.Handle)
			}
			all = append(all, d)
		}
		if *asJSON {
			return a.printJSON(all)
		}
		for i, d := range all {
			if i > 0 {
				fmt.Fprintln(a.stdout)
			}
			a.printKey(d)
		}
		return nil
	})
	f = a.keyFlags(cmd, true)
	s = a.selectionFlags(cmd, f)
	asJSON = jsonFlag(cmd)
	return cmd
}

func (a *app) printKey(d keyDetailsJSON) {
	fields := []field{
		{"Object Label", or(d.Label, "no label")},
		{"Object Handle", fmt.Sprint(d.Handle)},
		{"Object UID", d.UniqueID},
		{"OUID", or(d.OUID, "-")},
		{"ID", or(d.ID, "-")},
		{"Class", d.Class},
		{"Type", or(d.Type, "-")},
		{"Size in bytes", fmt.Sprint(d.Bytes)},
		{"Private", yesNo(d.Private)},
		{"Modifiable", yesNo(d.Modifiable)},
	}
	if d.Class != "cert" {
		fields = append(fields,
			field{"Usage", or(strings.Join(d.Usage, ", "), "none")},
			field{"Made in this HSM", yesNo(d.Local)},
			field{"Made by", or(d.Mechanism, "-")})
	}
	if d.Class == "private" || d.Class == "secret" {
		fields = append(fields,
			field{"Sensitive", yesNo(d.Sensitive) + always(d.AlwaysSensitive, "always")},
			field{"Extractable", yesNo(d.Extractable) + always(d.NeverExtractable, "never was")})
	}
	if d.CheckValue != "" {
		fields = append(fields, field{"Check value", d.CheckValue})
	}
	if d.PublicKeySHA256 != "" {
		fields = append(fields, field{"SHA-256 of public key", d.PublicKeySHA256})
	}
	fields = append(fields, field{"PKCS#11 URI", d.URI})
	details(a.stdout, "Object Details", fields)
}

func always(b bool, text string) string {
	if b {
		return " (" + text + ")"
	}
	return ""
}

func (a *app) keyExportCommand() *cobra.Command {
	var (
		f      *keyFlags
		s      *selection
		out    string
		format string
	)
	cmd := a.command("export-public", "Write a public key as PEM", `Writes the public key of a key pair (SubjectPublicKeyInfo) as PEM or DER, to the
standard output or a file. With --public, keys whose public half is visible
without login need no PIN.`,
		func(cmd *cobra.Command, _ []string) error {
			if !s.narrow() {
				return usagef("say which key to export, with --label, --id or --handle; `perilune key list` lists all")
			}
			if format != "pem" && format != "der" {
				return usagef("--format %q: the formats are pem and der", format)
			}
			ctx := cmd.Context()
			k, err := a.openKeys(ctx, f)
			if err != nil {
				return err
			}
			spki, err := k.publicKey(ctx, s)
			if err != nil {
				return err
			}
			if format == "pem" {
				spki = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
			}
			if out == "" {
				_, err = a.stdout.Write(spki)
				return err
			}
			return failing(os.WriteFile(out, spki, 0o644), "cannot write the public key")
		})
	f = a.keyFlags(cmd, true)
	s = a.selectionFlags(cmd, f)
	cmd.Flags().StringVar(&out, "out", "", "write to this `file`")
	cmd.Flags().StringVar(&format, "format", "pem", "pem or der")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"pem", "der"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// publicKey is the SubjectPublicKeyInfo of the one key pair that is selected,
// whichever of its halves matches.
func (k *keys) publicKey(ctx context.Context, s *selection) ([]byte, error) {
	list, err := k.selected(ctx, s, nil)
	if err != nil {
		return nil, err
	}
	var spki []byte
	halves := 0
	for _, j := range list {
		if j.Class != "public" && j.Class != "private" {
			continue
		}
		halves++
		attrs, err := k.attributes(ctx, ck.ObjectHandle(j.Handle), ck.CKA_PUBLIC_KEY_INFO)
		if err != nil {
			return nil, failing(err, "cannot read the public key of the object with handle %d", j.Handle)
		}
		found := value(attrs, ck.CKA_PUBLIC_KEY_INFO)
		if len(found) == 0 {
			continue
		}
		if spki != nil && string(spki) != string(found) {
			return nil, usagef("several keys match %s; choose one by --id or --handle (`perilune key list` shows them)", s)
		}
		spki = found
	}
	switch {
	case halves == 0:
		return nil, k.noMatch(s)
	case spki == nil:
		return nil, fmt.Errorf("the HSM cannot tell the public key of the key with %s", s)
	}
	return spki, nil
}

func (a *app) keyDeleteCommand() *cobra.Command {
	var (
		f     *keyFlags
		s     *selection
		all   bool
		force *bool
	)
	cmd := a.command("delete", "Delete keys and certificates", `Deletes what matches: a key pair and its certificate go together if they have the
same identifier, unless --class narrows that down. What matches with several
identifiers is deleted with --all only.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if !s.narrow() && !all {
				return usagef("say which key to delete, with --label, --id or --handle; --all deletes all that matches")
			}
			k, err := a.openKeys(ctx, f)
			if err != nil {
				return err
			}
			list, err := k.matching(ctx, s)
			if err != nil {
				return err
			}
			if n := countIDs(list); n > 1 && !all {
				return usagef("%d objects with %d different identifiers match %s; choose by --id or --handle, or give --all", len(list), n, s)
			}
			if err := a.confirm(ctx, *force, deletionWarning(k.target, list)); err != nil {
				return err
			}
			return a.deleteKeys(ctx, k, list)
		})
	f = a.keyFlags(cmd, false)
	s = a.selectionFlags(cmd, f)
	cmd.Flags().BoolVar(&all, "all", false, "delete all that matches, even different keys")
	force = forceFlag(cmd)
	return cmd
}

func countIDs(list []keyJSON) int {
	ids := map[string]bool{}
	for _, j := range list {
		ids[j.ID] = true
	}
	return len(ids)
}

func deletionWarning(t target, list []keyJSON) string {
	var b strings.Builder
	fmt.Fprintf(&b, "This deletes from %s, for ever:", t)
	for i, j := range list {
		if i == 20 {
			fmt.Fprintf(&b, "\n  and %d more", len(list)-i)
			break
		}
		fmt.Fprintf(&b, "\n  %s", j)
	}
	return b.String()
}

// String describes an object in a sentence.
func (j keyJSON) String() string {
	return fmt.Sprintf("%s %s %q, id %s, handle %d", j.Type, nounOf(j.Class), printable(j.Label), or(j.ID, "-"), j.Handle)
}

func (a *app) deleteKeys(ctx context.Context, k *keys, list []keyJSON) error {
	for i, j := range list {
		err := ctx.Err()
		if err == nil {
			_, err = p11.Call(ctx, k.module, &p11.DestroyObject{Session: k.session, Object: ck.ObjectHandle(j.Handle)})
		}
		if err != nil {
			return failing(err, "cannot delete %s (%d of %d objects were deleted before)", j, i, len(list))
		}
	}
	fmt.Fprintf(a.stdout, "%s deleted from %s.\n", count(len(list), "object"), k.target)
	return nil
}

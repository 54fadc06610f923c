package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

// keyWishes are the flags for keys that are to be made or imported.
type keyWishes struct {
	label, id   string
	usage       []string
	extractable bool
}

func newKeyWishes(cmd *cobra.Command) *keyWishes {
	w := new(keyWishes)
	cmd.Flags().StringVar(&w.label, "label", "", "label of the key")
	cmd.Flags().StringVar(&w.id, "id", "", "identifier of the key (CKA_ID), in `hex`")
	w.useFlags(cmd)
	return w
}

// useFlags adds the flags that say what may be done with keys.
func (w *keyWishes) useFlags(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&w.usage, "usage", nil, "what the key is for, as `uses`: "+usagesHelp+" (default: as the type suggests)")
	cmd.Flags().BoolVar(&w.extractable, "extractable", false, "let the key leave the HSM, wrapped under another key")
	_ = cmd.RegisterFlagCompletionFunc("usage", cobra.FixedCompletions([]string{"sign", "encrypt", "wrap", "derive", "encapsulate"}, cobra.ShellCompDirectiveNoFileComp))
}

// templates are the attributes of long-term keys: kept in the partition, seen
// and used after login only, never shown in the clear.
func (w *keyWishes) templates(kind keyKind, id []byte, label string) (public, private []ck.Attribute, err error) {
	names := w.usage
	if len(names) == 0 {
		names = kind.usage
	}
	public, private, err = usageAttributes(names, kind.pair)
	if err != nil {
		return nil, nil, err
	}
	common := []ck.Attribute{
		ck.NewBool(ck.CKA_TOKEN, true),
		ck.NewBytes(ck.CKA_LABEL, []byte(label)),
		ck.NewBytes(ck.CKA_ID, id),
	}
	public = append(append([]ck.Attribute{ck.NewBool(ck.CKA_PRIVATE, false)}, common...), public...)
	private = append(append([]ck.Attribute{
		ck.NewBool(ck.CKA_PRIVATE, true),
		ck.NewBool(ck.CKA_SENSITIVE, true),
		ck.NewBool(ck.CKA_EXTRACTABLE, w.extractable),
	}, common...), private...)
	return public, private, nil
}

// givenID is the identifier of --id, nil if there is none.
func (w *keyWishes) givenID() ([]byte, error) {
	if w.id == "" {
		return nil, nil
	}
	return parseID(w.id)
}

// newID is a random identifier.
func newID() []byte {
	id := make([]byte, 8)
	rand.Read(id)
	return id
}

func (a *app) keyGenerateCommand() *cobra.Command {
	var (
		f             *keyFlags
		w             *keyWishes
		typ           string
		asJSON, shown *bool
	)
	cmd := a.command("generate", "Generate a key or a key pair", `Generates a key or a key pair inside the HSM, as the Crypto Officer. Types:

  rsa:2048 rsa:3072 rsa:4096        bits; 3072 if none are given
  ec:P-256 ec:P-384 ec:P-521        a curve by name or OID; P-256 if none is given
  ec:secp256k1 ec:brainpoolP256r1   and many more
  ed25519 ed448 x25519 x448
  ml-kem:768 ml-dsa:65              a parameter set; these if none is given
  slh-dsa:SHA2-128s                 the same, with SHAKE, 192 and 256, and f for s
  aes:128 aes:192 aes:256           bits; 256 if none are given
  aria camellia twofish             the same sizes
  aes-xts:256 aes-xts:512           bits of both halves; 512 if none are given
  des3 des2 seed sm4 chacha20 salsa20 poly1305
  generic:32 hkdf:32                bytes
  hmac-sha256:32 hmac-sha3-256:32   bytes, for one hash; its length if none are given

The key stays in the partition, is private and sensitive, and cannot leave the
HSM unless --extractable says so. Both halves of a pair get the same identifier,
random unless --id gives one.`,
		func(cmd *cobra.Command, _ []string) error {
			spec, err := parseKeySpec(typ)
			if err != nil {
				return err
			}
			if spec.generate == elsewhere {
				return usagef("--type %q: the program generates no such keys; the types are %s", typ, keyTypesHelp)
			}
			id, err := w.givenID()
			if err != nil {
				return err
			}
			if id == nil {
				id = newID()
			}
			public, private, err := w.templates(spec.keyKind, id, w.label)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			k, err := a.openKeys(ctx, f)
			if err != nil {
				return err
			}
			p := a.newProgress(*shown, "generating "+typ)
			handles, err := a.generate(ctx, k, spec, public, private)
			p.stop()
			if err != nil {
				return failing(err, "cannot generate a key of type %s in %s", typ, k.target)
			}
			return a.showMade(ctx, k, handles, *asJSON)
		})
	f = a.keyFlags(cmd, false)
	cmd.Flags().StringVar(&typ, "type", "", "`type` of the key (required): "+keyTypesHelp)
	_ = cmd.MarkFlagRequired("type")
	_ = cmd.RegisterFlagCompletionFunc("type", cobra.FixedCompletions([]string{
		"rsa:2048", "rsa:3072", "rsa:4096", "ec:P-256", "ec:P-384", "ec:P-521", "ec:secp256k1", "ec:brainpoolP256r1",
		"ed25519", "ed448", "x25519", "x448", "ml-kem:512", "ml-kem:768", "ml-kem:1024", "ml-dsa:44", "ml-dsa:65", "ml-dsa:87",
		"slh-dsa:SHA2-128s", "slh-dsa:SHAKE-128s",
		"aes:128", "aes:192", "aes:256", "aria:256", "camellia:256", "chacha20", "des3", "seed", "sm4", "generic:32", "hmac-sha256", "hmac-sha384", "hmac-sha512", "hkdf:32",
	}, cobra.ShellCompDirectiveNoFileComp))
	w = newKeyWishes(cmd)
	asJSON = jsonFlag(cmd)
	shown = progressFlag(cmd)
	return cmd
}

// generate asks the HSM. An RSA key can take long, and cannot be interrupted in
// the HSM: the program then ends without it.
func (a *app) generate(ctx context.Context, k *keys, spec keySpec, public, private []ck.Attribute) ([]ck.ObjectHandle, error) {
	handles, err := wait(ctx, func() ([]ck.ObjectHandle, error) {
		handles, err := k.generate(ctx, spec, spec.generate, public, private)
		if ck.RVOf(err) == ck.CKR_MECHANISM_INVALID && spec.approved != 0 { // FIPS mode
			handles, err = k.generate(ctx, spec, spec.approved, public, private)
		}
		return handles, err
	})
	a.busy = err != nil && ctx.Err() != nil
	return handles, err
}

func (k *keys) generate(ctx context.Context, spec keySpec, m ck.MechanismType, public, private []ck.Attribute) ([]ck.ObjectHandle, error) {
	mechanism := &ck.Mechanism{Type: m}
	if !spec.pair {
		if spec.size != 0 {
			private = append(slices.Clip(private), ck.NewULong(ck.CKA_VALUE_LEN, spec.size))
		}
		r, err := p11.Call(ctx, k.module, &p11.GenerateKey{Session: k.session, Mechanism: mechanism, Template: private})
		return []ck.ObjectHandle{r.Object}, err
	}
	public = slices.Clip(public)
	switch {
	case spec.keyType == ck.CKK_RSA:
		public = append(public, ck.NewULong(ck.CKA_MODULUS_BITS, spec.size), ck.NewBytes(ck.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}))
	case spec.sets != nil:
		public = append(public, ck.NewULong(ck.CKA_PARAMETER_SET, spec.set))
	default:
		public = append(public, ck.NewBytes(ck.CKA_EC_PARAMS, spec.params))
	}
	r, err := p11.Call(ctx, k.module, &p11.GenerateKeyPair{Session: k.session, Mechanism: mechanism, Public: public, Private: private})
	return []ck.ObjectHandle{r.Public, r.Private}, err
}

// showMade shows new objects.
func (a *app) showMade(ctx context.Context, k *keys, handles []ck.ObjectHandle, asJSON bool) error {
	list := []keyJSON{}
	for _, h := range handles {
		j, err := k.described(ctx, h)
		if err != nil {
			return failing(err, "the key was made, but cannot be read")
		}
		list = append(list, j)
	}
	if asJSON {
		return a.printJSON(list)
	}
	fmt.Fprintf(a.stdout, "Generated in %s:\n", k.target)
	for _, j := range list {
		line := fmt.Sprintf("  %s", j)
		if len(j.Usage) > 0 {
			line += ", for " + strings.Join(j.Usage, ", ")
		}
		fmt.Fprintln(a.stdout, line)
	}
	return nil
}

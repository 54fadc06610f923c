package main

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/audit"
	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/p11"
)

func (a *app) auditCommand() *cobra.Command {
	cmd := a.group("audit", "The audit log: what is recorded, and whether the records are right", `The audit log records what happens in the HSM: who logged in, what was changed,
which keys were used. Its records are chained under a secret of the HSM, so that a
record that was changed, removed, moved or cut off is found. The Auditor says what
is recorded, verifies and archives. Nobody else can, and the Auditor can do nothing
else.`)
	cmd.AddCommand(
		a.auditInitCommand(), a.auditLoginCommand(), a.auditShowCommand(), a.auditConfigCommand(), a.auditDomainCommand(),
		a.auditVerifyCommand(), a.auditExportCommand(), a.auditImportCommand(), a.auditArchiveCommand(), a.auditMessageCommand(),
		a.auditLogCommand(), a.auditRemoteCommand(),
	)
	return cmd
}

// auditPIN adds the flag for the Auditor's PIN.
func auditPIN(cmd *cobra.Command) *pinFlag { return pin(cmd, "audit-pin", "PIN of the Auditor") }

func auditDomainFlag(cmd *cobra.Command, usage string) *pinFlag {
	f := domainFlag(cmd, usage)
	f.kind = "audit"
	return f
}

// auditor logs the Auditor in.
func (a *app) auditor(ctx context.Context, f *pinFlag) (p11.Module, ck.SessionHandle, error) {
	return a.login(ctx, admin, p11.RoleAuditor, f, "audit-pin")
}

func (a *app) auditInitCommand() *cobra.Command {
	var pin, domain *pinFlag
	cmd := a.command("init", "Make the Auditor", `Makes the Auditor, with a PIN and an audit domain. It needs no other role; none may
be logged in. HSMs whose Auditors chose the same domain can verify each other's
logs. Without a domain nothing can be configured; `+"`perilune audit domain`"+` sets it
later, or another one.

Too many wrong PINs lock the Auditor for a while. A forgotten PIN is replaced by
nobody: only a factory reset makes room for another Auditor.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			const doing = "cannot make the Auditor"
			info, err := a.roleInfo(ctx, p11.AdminSlot, p11.RoleAuditor)
			if err != nil {
				return failing(err, doing)
			}
			if info.Initialized {
				return &problem{doing: doing, err: errors.New("the HSM has one"),
					fix: "`perilune role changepw --role au` changes the PIN, `perilune audit domain` the audit domain"}
			}
			q := &p11.InitAuditor{}
			if q.Domain, err = a.domain(ctx, domain); err != nil {
				return err
			}
			defer clear(q.Domain)
			if q.PIN, err = a.newPIN(ctx, pin, "audit-pin", "Auditor"); err != nil {
				return err
			}
			defer clear(q.PIN)
			if _, err := p11.Call(ctx, a.module, q); err != nil {
				return failing(err, doing)
			}
			fmt.Fprintln(a.stdout, "The HSM has an Auditor, who can say what is recorded: `perilune audit config`.")
			return nil
		})
	pin = auditPIN(cmd)
	domain = auditDomainFlag(cmd, "the audit domain")
	return cmd
}

func (a *app) auditLoginCommand() *cobra.Command {
	var pin *pinFlag
	cmd := a.command("login", "Log the Auditor in, or see whether the PIN is right", `Logs the Auditor in. In `+"`perilune shell`"+` the login stays until `+"`logout`"+`. Anywhere else it
ends with the command, which tells whether the PIN is right; a wrong one counts.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if a.shell != nil {
				return a.shell.logIn(ctx, admin, defOf(p11.RoleAuditor), pin)
			}
			if _, _, err := a.auditor(ctx, pin); err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, "The Auditor's PIN is right.")
			return nil
		})
	pin = auditPIN(cmd)
	return cmd
}

// auditStatusJSON is what `audit show --json` prints.
type auditStatusJSON struct {
	Auditor     bool               `json:"auditor"`
	DomainSet   bool               `json:"domain_set"`
	Configured  bool               `json:"configured"`
	ConfigSet   string             `json:"config_set,omitempty"`
	Directory   string             `json:"directory"`
	Newest      uint64             `json:"newest_record"`
	Files       int                `json:"files"`
	Bytes       uint64             `json:"bytes"`
	Full        bool               `json:"full"`
	Trouble     string             `json:"trouble,omitempty"`
	Time        string             `json:"time"`
	RemoteHosts []auditRemoteState `json:"remote_hosts"`
	Config      *auditConfigJSON   `json:"config,omitempty"`
}

type auditRemoteState struct {
	Host    string `json:"host"`
	Sent    uint64 `json:"sent"`
	Trouble string `json:"trouble,omitempty"`
}

// auditConfigJSON is what `audit config --json` prints.
type auditConfigJSON struct {
	Events   string `json:"events"`
	Rotation string `json:"rotation"`
	FileSize uint64 `json:"file_size"`
	Limit    uint64 `json:"limit"` // 0 for none
}

func newAuditConfigJSON(c p11.AuditConfig) *auditConfigJSON {
	return &auditConfigJSON{Events: audit.Mask(c.Mask).String(), Rotation: c.Rotation, FileSize: c.FileSize, Limit: c.Limit}
}

func (a *app) auditShowCommand() *cobra.Command {
	var (
		pin    *pinFlag
		asJSON *bool
	)
	cmd := a.command("show", "Show the state of the audit log", `Shows the state of the audit log, and with the Auditor's PIN also what is
configured.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			m, err := a.hsm(ctx)
			if err != nil {
				return err
			}
			var config *p11.AuditConfig
			if _, held := a.held(p11.AdminSlot); pin.source != "" || held {
				_, c, err := a.auditConfig(ctx, pin)
				if err != nil {
					return err
				}
				config = &c
			}
			s, err := p11.Call(ctx, m, &p11.GetAuditStatus{})
			if err != nil {
				return failing(err, "cannot look at the audit log")
			}
			if *asJSON {
				return a.printJSON(newAuditStatusJSON(s, config))
			}
			a.showAudit(s)
			if config != nil {
				fmt.Fprintln(a.stdout)
				a.showAuditConfig(*config)
			}
			return nil
		})
	pin = auditPIN(cmd)
	asJSON = jsonFlag(cmd)
	return cmd
}

func newAuditStatusJSON(s p11.AuditStatus, c *p11.AuditConfig) auditStatusJSON {
	j := auditStatusJSON{
		Auditor: s.AuditorInitialized, DomainSet: s.DomainSet, Configured: s.Configured, ConfigSet: s.ConfigSet, Directory: s.Directory,
		Newest: s.Newest, Files: s.Files, Bytes: s.Bytes, Full: s.Full, Trouble: s.Trouble, Time: s.Time, RemoteHosts: []auditRemoteState{},
	}
	for _, r := range s.Remotes {
		j.RemoteHosts = append(j.RemoteHosts, auditRemoteState{audit.Remote(r.Remote).String(), r.Sent, r.Trouble})
	}
	if c != nil {
		j.Config = newAuditConfigJSON(*c)
	}
	return j
}

func (a *app) showAudit(s p11.AuditStatus) {
	configured := "not configured: only what always is recorded is"
	if s.Configured {
		configured = "since " + s.ConfigSet
	}
	details(a.stdout, "Audit Log", []field{
		{"Auditor", map[bool]string{true: "initialised", false: "not initialised"}[s.AuditorInitialized]},
		{"Audit domain", map[bool]string{true: "set", false: "not set"}[s.DomainSet]},
		{"Configured", configured},
		{"Directory", s.Directory},
		{"Newest record", fmt.Sprint(s.Newest)},
		{"Files", fmt.Sprintf("%d, %d bytes", s.Files, s.Bytes)},
		{"State", or(s.Trouble, "ready")},
		{"Time of the HSM", s.Time},
	})
	for _, r := range s.Remotes {
		state := fmt.Sprintf("has the records up to %d", r.Sent)
		if r.Trouble != "" {
			state += "; " + r.Trouble
		}
		fmt.Fprintf(a.stdout, "%-32s %s %s\n", "Remote host:", printable(audit.Remote(r.Remote).String()), printable(state))
	}
}

func (a *app) showAuditConfig(c p11.AuditConfig) {
	limit := "none"
	if c.Limit != 0 {
		limit = bytesText(c.Limit)
	}
	details(a.stdout, "Audit Configuration", []field{
		{"Events", audit.Mask(c.Mask).String()},
		{"Rotation", c.Rotation},
		{"Size of a file", bytesText(c.FileSize)},
		{"Limit of all files", limit},
	})
}

// auditConfig logs the Auditor in and reads what is configured.
func (a *app) auditConfig(ctx context.Context, f *pinFlag) (ck.SessionHandle, p11.AuditConfig, error) {
	m, s, err := a.auditor(ctx, f)
	if err != nil {
		return 0, p11.AuditConfig{}, err
	}
	c, err := p11.Call(ctx, m, &p11.GetAuditConfig{Session: s})
	return s, c, failing(err, "cannot read the configuration of the audit log")
}

// setAuditConfig configures the audit log, as the Auditor.
func (a *app) setAuditConfig(ctx context.Context, s ck.SessionHandle, c p11.AuditConfig) error {
	_, err := p11.Call(ctx, a.module, &p11.SetAuditConfig{Session: s, Config: c})
	return failing(err, "cannot configure the audit log")
}

func (a *app) auditConfigCommand() *cobra.Command {
	var (
		pin                           *pinFlag
		asJSON                        *bool
		events, rotation, size, limit string
	)
	cmd := a.command("config", "Show or change what is recorded", `Shows what is recorded, or changes what is given. Events are words with commas
between them, or their letters. At least one outcome and one category:

  failure (f)     calls that fail             success (s)    calls that succeed
  access (a)      logins, sessions, changes of attributes
  manage (m)      initialisations, PINs, policies, partitions
  keymanage (k)   keys made, destroyed, wrapped, derived, cloned; random numbers
  asymmetric (c)  every use of a private or public key
  first (r)       only the first use of such a key by a program
  symmetric (y)   every use of a secret key, and digests
  symfirst (i)    only the first use of such a key by a program
  external (x)    messages that the Auditor records
  logmanage (g)   what is done with the log itself
  all (l)         everything                  none (n)       nothing

Zeroization, initialisation, factory reset and the making of the Auditor are always
recorded. What must be recorded and cannot be, because the log is full or cannot be
written, does not happen.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			changes, err := auditChanges(events, rotation, size, limit)
			if err != nil {
				return err
			}
			s, c, err := a.auditConfig(ctx, pin)
			if err != nil {
				return err
			}
			if len(changes) > 0 {
				for _, change := range changes {
					change(&c)
				}
				if err := a.setAuditConfig(ctx, s, c); err != nil {
					return err
				}
			}
			if *asJSON {
				return a.printJSON(newAuditConfigJSON(c))
			}
			a.showAuditConfig(c)
			if audit.Mask(c.Mask) == audit.AllOfIt && len(changes) > 0 {
				fmt.Fprintln(a.stderr, "perilune: everything is recorded: the log will grow fast")
			}
			return nil
		})
	pin = auditPIN(cmd)
	cmd.Flags().StringVar(&events, "events", "", "`words` for what is recorded, with commas between them")
	cmd.Flags().StringVar(&rotation, "rotation", "", "when a new file begins: hourly, daily, weekly, monthly or never")
	cmd.Flags().StringVar(&size, "file-size", "", "`size` at which a new file begins, such as 4M")
	cmd.Flags().StringVar(&limit, "limit", "", "`size` of all files together at which the log is full, such as 2G, or none")
	asJSON = jsonFlag(cmd)
	return cmd
}

// auditChanges reads what the flags say.
func auditChanges(events, rotation, size, limit string) (list []func(*p11.AuditConfig), err error) {
	if events != "" {
		m, err := audit.ParseMask(events)
		if err != nil {
			return nil, usagef("--events: %v", err)
		}
		list = append(list, func(c *p11.AuditConfig) { c.Mask = uint32(m) })
	}
	if rotation != "" {
		r, err := audit.ParseRotation(rotation)
		if err != nil {
			return nil, usagef("--rotation: %v", err)
		}
		list = append(list, func(c *p11.AuditConfig) { c.Rotation = string(r) })
	}
	if size != "" {
		n, err := parseBytes(size)
		if err != nil {
			return nil, usagef("--file-size: %v", err)
		}
		list = append(list, func(c *p11.AuditConfig) { c.FileSize = n })
	}
	if limit == "none" {
		limit = "0"
	}
	if limit != "" {
		n, err := parseBytes(limit)
		if err != nil {
			return nil, usagef("--limit: %v", err)
		}
		list = append(list, func(c *p11.AuditConfig) { c.Limit = n })
	}
	return list, nil
}

const units = "kMGT"

// parseBytes reads a size such as 65536, 64k, 4M or 2G.
func parseBytes(text string) (uint64, error) {
	digits := strings.TrimRight(text, "kKmMgGtT")
	n, err := strconv.ParseUint(digits, 10, 64)
	unit := strings.ToLower(text[len(digits):])
	power := strings.Index(strings.ToLower(units), unit)
	if err != nil || len(unit) > 1 || power < 0 {
		return 0, fmt.Errorf("%q is no size; give bytes, or a number with k, M, G or T behind it", text)
	}
	shift := 0
	if unit != "" {
		shift = 10 * (power + 1)
	}
	if n != 0 && bits.Len64(n)+shift > 62 {
		return 0, fmt.Errorf("%s is more than any disk has", text)
	}
	return n << shift, nil
}

// bytesText is the contrary, where the number is round.
func bytesText(n uint64) string {
	text := fmt.Sprint(n)
	for _, unit := range units {
		if n == 0 || n%1024 != 0 {
			break
		}
		n /= 1024
		text = fmt.Sprintf("%d%c", n, unit)
	}
	return text
}

func (a *app) auditDomainCommand() *cobra.Command {
	var pin, domain *pinFlag
	cmd := a.command("domain", "Set the audit domain", `Sets the audit domain, or another one. Log secrets travel under it: an HSM can
import what was exported under the domain that it has itself. It has 1 to 128
letters, digits and punctuation marks. Whoever knows it can read what was exported.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			m, s, err := a.auditor(ctx, pin)
			if err != nil {
				return err
			}
			text, err := a.domain(ctx, domain)
			if err != nil {
				return err
			}
			defer clear(text)
			if _, err := p11.Call(ctx, m, &p11.SetAuditDomain{Session: s, Domain: text}); err != nil {
				return failing(err, "cannot set the audit domain")
			}
			fmt.Fprintln(a.stdout, "The audit domain is set.")
			return nil
		})
	pin = auditPIN(cmd)
	domain = auditDomainFlag(cmd, "the audit domain (required)")
	_ = cmd.MarkFlagRequired("domain")
	return cmd
}

func (a *app) auditMessageCommand() *cobra.Command {
	var (
		pin  *pinFlag
		text string
	)
	cmd := a.command("message", "Record a message", `Records a message of the Auditor's, if the category external is recorded.`,
		func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			m, s, err := a.auditor(ctx, pin)
			if err != nil {
				return err
			}
			if _, err := p11.Call(ctx, m, &p11.LogExternal{Session: s, Message: text}); err != nil {
				return failing(err, "cannot record the message")
			}
			return nil
		})
	pin = auditPIN(cmd)
	cmd.Flags().StringVar(&text, "text", "", "the `message`, at most 136 ASCII characters (required)")
	_ = cmd.MarkFlagRequired("text")
	return cmd
}

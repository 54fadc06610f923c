package main

import (
	"fmt"
	"net"
	"slices"

	"github.com/spf13/cobra"

	"github.com/perilune/perilune/cryptoki/audit"
	"github.com/perilune/perilune/cryptoki/p11"
)

func (a *app) auditRemoteCommand() *cobra.Command {
	cmd := a.group("remotehost", "Syslog servers that get a copy of every record", "")
	cmd.AddCommand(a.auditRemoteAddCommand(), a.auditRemoteDeleteCommand(), a.auditRemoteListCommand(), a.auditRemoteClearCommand())
	return cmd
}

// remoteFlags name a server.
type remoteFlags struct {
	host, protocol string
	port           uint16
}

func newRemoteFlags(cmd *cobra.Command) *remoteFlags {
	f := new(remoteFlags)
	cmd.Flags().StringVar(&f.host, "host", "", "`host` name or address, or the path of a socket (required)")
	_ = cmd.MarkFlagRequired("host")
	cmd.Flags().StringVar(&f.protocol, "protocol", "tcp", "unix, udp, tcp or tls")
	cmd.Flags().Uint16Var(&f.port, "port", 0, "`number` of the port (default: 514, for tls 6514)")
	return f
}

func (f *remoteFlags) remote() (p11.AuditRemote, error) {
	r := audit.Remote{Protocol: f.protocol, Address: f.host}
	if f.port != 0 {
		r.Address = net.JoinHostPort(f.host, fmt.Sprint(f.port))
	}
	if err := r.Check(); err != nil {
		return p11.AuditRemote{}, usagef("%v", err)
	}
	return p11.AuditRemote(r), nil
}

// changeRemotes changes the list of servers.
func (a *app) changeRemotes(cmd *cobra.Command, f *pinFlag, change func([]p11.AuditRemote) ([]p11.AuditRemote, error)) error {
	ctx := cmd.Context()
	s, c, err := a.auditConfig(ctx, f)
	if err != nil {
		return err
	}
	if c.Remotes, err = change(c.Remotes); err != nil {
		return err
	}
	return a.setAuditConfig(ctx, s, c)
}

func sameRemote(r p11.AuditRemote) func(p11.AuditRemote) bool {
	return func(o p11.AuditRemote) bool { return o.Protocol == r.Protocol && o.Address == r.Address }
}

func (a *app) auditRemoteAddCommand() *cobra.Command {
	var (
		pin                     *pinFlag
		at                      *remoteFlags
		ca, name, cert, keyFile string
	)
	cmd := a.command("add", "Send a copy of every record to a syslog server", `Sends a copy of every record from now on to a syslog server, in the form of RFC 5424. Processes
that use the HSM do that in the background; what the server does not take waits in
the log. Over UDP nobody can tell whether a record arrived.`,
		func(cmd *cobra.Command, _ []string) error {
			r, err := at.remote()
			if err != nil {
				return err
			}
			if (ca != "" || name != "" || cert != "" || keyFile != "") && r.Protocol != "tls" {
				return usagef("--ca, --server-name, --cert and --cert-key are for --protocol tls")
			}
			r.CAFile, r.ServerName, r.CertFile, r.KeyFile = ca, name, cert, keyFile
			err = a.changeRemotes(cmd, pin, func(list []p11.AuditRemote) ([]p11.AuditRemote, error) {
				return append(slices.DeleteFunc(list, sameRemote(r)), r), nil
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "Records are sent to %s from now on.\n", printable(audit.Remote(r).String()))
			return nil
		})
	pin = auditPIN(cmd)
	at = newRemoteFlags(cmd)
	cmd.Flags().StringVar(&ca, "ca", "", "`file` with the certificates that the server's must come from (default: the system's)")
	cmd.Flags().StringVar(&name, "server-name", "", "`name` in the server's certificate (default: the host)")
	cmd.Flags().StringVar(&cert, "cert", "", "`file` with the certificate to show to the server")
	cmd.Flags().StringVar(&keyFile, "cert-key", "", "`file` with the key of --cert")
	return cmd
}

func (a *app) auditRemoteDeleteCommand() *cobra.Command {
	var (
		pin   *pinFlag
		at    *remoteFlags
		force *bool
	)
	cmd := a.command("delete", "Send no more records to a syslog server", "",
		func(cmd *cobra.Command, _ []string) error {
			r, err := at.remote()
			if err != nil {
				return err
			}
			name := printable(audit.Remote(r).String())
			if err := a.confirm(cmd.Context(), *force, fmt.Sprintf("%s will get no more records, not even those that wait for it.", name)); err != nil {
				return err
			}
			err = a.changeRemotes(cmd, pin, func(list []p11.AuditRemote) ([]p11.AuditRemote, error) {
				rest := slices.DeleteFunc(slices.Clone(list), sameRemote(r))
				if len(rest) == len(list) {
					return nil, fmt.Errorf("records are not sent to %s; `perilune audit remotehost list` shows where they are", name)
				}
				return rest, nil
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "No more records are sent to %s.\n", name)
			return nil
		})
	pin = auditPIN(cmd)
	at = newRemoteFlags(cmd)
	force = forceFlag(cmd)
	return cmd
}

func (a *app) auditRemoteClearCommand() *cobra.Command {
	var (
		pin   *pinFlag
		force *bool
	)
	cmd := a.command("clear", "Send no more records to any syslog server", "",
		func(cmd *cobra.Command, _ []string) error {
			if err := a.confirm(cmd.Context(), *force, "No syslog server will get any more records."); err != nil {
				return err
			}
			err := a.changeRemotes(cmd, pin, func([]p11.AuditRemote) ([]p11.AuditRemote, error) { return nil, nil })
			if err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, "No more records are sent anywhere.")
			return nil
		})
	pin = auditPIN(cmd)
	force = forceFlag(cmd)
	return cmd
}

// auditRemoteJSON is a syslog server.
type auditRemoteJSON struct {
	Protocol   string `json:"protocol"`
	Address    string `json:"address"`
	CAFile     string `json:"ca,omitempty"`
	ServerName string `json:"server_name,omitempty"`
	CertFile   string `json:"cert,omitempty"`
	KeyFile    string `json:"cert_key,omitempty"`
}

func (a *app) auditRemoteListCommand() *cobra.Command {
	var (
		pin    *pinFlag
		asJSON *bool
	)
	cmd := a.command("list", "List the syslog servers", "",
		func(cmd *cobra.Command, _ []string) error {
			_, c, err := a.auditConfig(cmd.Context(), pin)
			if err != nil {
				return err
			}
			list, rows := []auditRemoteJSON{}, [][]string(nil)
			for _, r := range c.Remotes {
				list = append(list, auditRemoteJSON(r))
				rows = append(rows, []string{r.Protocol, r.Address})
			}
			if *asJSON {
				return a.printJSON(list)
			}
			return table(a.stdout, []string{"Protocol", "Host"}, rows)
		})
	pin = auditPIN(cmd)
	asJSON = jsonFlag(cmd)
	return cmd
}

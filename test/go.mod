module github.com/perilune/perilune/test

go 1.26.4

require (
	filippo.io/mldsa v1.0.0
	github.com/ThalesGroup/crypto11 v1.5.0
	github.com/c2sp/wycheproof v0.0.0-20260902155932-3fa63dd0344a
	github.com/creack/pty v1.1.24
	github.com/miekg/pkcs11 v1.1.2
	github.com/perilune/perilune v0.0.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/leodido/go-syslog/v4 v4.5.0 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/thales-e-security/pool v0.0.2 // indirect
	golang.org/x/crypto v0.58.0 // indirect
)

replace github.com/perilune/perilune => ../

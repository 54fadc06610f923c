module github.com/perilune/perilune/test

go 1.26.4

require (
	github.com/miekg/pkcs11 v1.1.2
	github.com/perilune/perilune v0.0.0
)

require (
	github.com/c2sp/wycheproof v0.0.0-20260902155932-3fa63dd0344a // indirect
	github.com/creack/pty v1.1.24 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/perilune/perilune => ../

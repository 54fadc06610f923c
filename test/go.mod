module github.com/perilune/perilune/test

go 1.26.0

require (
	github.com/miekg/pkcs11 v1.1.2
	github.com/perilune/perilune v0.0.0
)

replace github.com/perilune/perilune => ../

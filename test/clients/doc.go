// Package clients drives real PKCS#11 clients (pkcs11-tool, p11tool, OpenSSL,
// nginx, OpenSSH, Java, Go, Node.js, NSS and our own C examples) against the
// built library, and against SoftHSM2 beside it.
//
// Every client is one Test function. Its steps run on a fresh token of each
// module in the table of modules_test.go. A step that one module cannot do is
// a failure, unless differences_test.go explains it; an explanation that no
// longer holds is a failure too, so the table stays true.
//
// The library under test is build/libperilune.so of the repository, or the
// file that PERILUNE_MODULE names. test/setup installs the clients.
package clients

// Package headers holds tests of include/pkcs11.h and include/perilune.h: that
// every number, structure and signature agrees with the headers that other
// projects package, and that both compile wherever they may be included.
//
// Run them with -count=1: the headers lie outside this module, and go test does
// not notice when they change. With -v they print every known difference.
package headers

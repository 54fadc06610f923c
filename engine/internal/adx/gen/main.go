// Gen writes the assembly of package adx with avo. It has a module of its own,
// so that what it needs is no dependency of the library.
package main

import . "github.com/mmcloughlin/avo/build"

func main() {
	ConstraintExpr("amd64")
	rows()
	reduction()
	multiply()
	square()
	reduce()
	pick()
	Generate()
}

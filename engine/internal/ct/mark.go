package ct

// Whether code is in constant time is tested with valgrind's memcheck: tests
// mark secrets as undefined memory, and memcheck reports every branch and every
// address that depends on it (docs/SECURITY.md, "Constant time"). The code says
// where something that was computed from secrets may show: [Public], [Reveal].
// Without the build tag valgrind all of this does nothing.

// integer is what Reveal takes.
type integer interface {
	~int | ~int32 | ~uint | ~byte | ~uint32 | ~uint64
}

//go:build !valgrind

package isa

// hidden says that instructions are there although the processor denies it.
const hidden = false

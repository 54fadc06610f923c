package capi

/*
#define _GNU_SOURCE
#include <stdlib.h>
*/
import "C"

import "unsafe"

// Getenv reads the environment as it is now: the host may have changed it since
// the library was loaded, when Go took its copy. In a program that gained
// privileges by its file mode nothing is read.
func Getenv(name string) string {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	v := C.secure_getenv(c)
	if v == nil {
		return ""
	}
	return C.GoString(v)
}

//go:build tools

package headers

// The tests read the C headers of this module and import none of its Go code.
import _ "github.com/miekg/pkcs11"

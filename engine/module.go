package engine

import "crypto/fips140"

// Module says which cryptographic module serves this process: whether Go's FIPS
// 140-3 module was built in (GOFIPS140) and is in its FIPS mode, which the
// environment of the process can switch off (GODEBUG=fips140=off).
func Module() string {
	if fips140.Enabled() {
		return "Go FIPS 140-3 module " + fips140.Version() + ", on"
	}
	if v := fips140.Version(); v != "latest" {
		return "Go FIPS 140-3 module " + v + ", switched off by GODEBUG"
	}
	return "Go's cryptography, not as FIPS 140-3 module"
}

//go:build tools

package wycheproof

import _ "github.com/c2sp/wycheproof" // its test vectors are read from the module's folder

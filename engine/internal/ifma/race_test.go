//go:build race

package ifma

// The race detector has pools forget things now and then.
const racing = true

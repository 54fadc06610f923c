//go:build race

package adx

// The race detector has pools forget things now and then.
const racing = true

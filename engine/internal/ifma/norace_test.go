//go:build !race

package ifma

const racing = false

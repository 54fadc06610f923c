//go:build !race

package adx

const racing = false

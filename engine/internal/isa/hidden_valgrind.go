//go:build valgrind

package isa

// hidden says that ADCX and ADOX are there although the processor denies it: that
// of valgrind does. It has no vectors of 512 bits, but there is code in Go that
// stands for them.
const hidden = true

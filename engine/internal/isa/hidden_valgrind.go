//go:build valgrind

package isa

// hidden says that ADCX and ADOX are there although the processor denies it: that
// of valgrind does.
const hidden = true

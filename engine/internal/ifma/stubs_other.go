//go:build !amd64

package ifma

// There is no assembly for this processor; Supported says so.
const built = false

func row(t, x, y *uint64, n int, fresh uint64)        { panic("ifma: not built") }
func squares(t, x *uint64, n int)                     { panic("ifma: not built") }
func reduce(z, t, m, k0 *uint64, n int)               { panic("ifma: not built") }
func pair5(z, a, b, m, k0, s *uint64, n int)          { panic("ifma: not built") }
func pair8(z, a, b, m, k0, s *uint64, n int)          { panic("ifma: not built") }
func pair10(z, a, b, m, k0, s *uint64, n int)         { panic("ifma: not built") }
func select5(z, table, index *uint64, n, entries int) { panic("ifma: not built") }
func select8(z, table, index *uint64, n, entries int) { panic("ifma: not built") }

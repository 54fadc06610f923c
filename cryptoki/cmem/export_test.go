package cmem

// Simulated is memory of which the tests own every byte, for those that are not
// part of this package.
type Simulated struct{ arena }

// NewSimulated puts mem at address 0x1000.
func NewSimulated(abi ABI, mem []byte) *Simulated {
	s := &Simulated{*newArena(abi)}
	s.mem = mem
	return s
}

// Decode is the function of the same name, for this memory.
func (s *Simulated) Decode(proto any, addr, n uint64) (any, error) {
	return s.space().decode(proto, addr, n)
}

// WriteBack is the function of the same name, for this memory.
func (s *Simulated) WriteBack(v any, addr, n uint64) error { return s.space().writeBack(v, addr, n) }

// ABIs are the platforms.
var ABIs = abis

package hsm

import (
	"context"

	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

// handleSeedRandom serves C_SeedRandom (PKCS#11 v3.1 section 5.19.1), in any
// session: a seed can only add to what the operating system gives.
func (h *HSM) handleSeedRandom(_ context.Context, _ *session, q *p11.SeedRandom, _ *p11.None) error {
	engine.SeedRandom(q.Seed)
	return nil
}

// handleGenerateRandom serves C_GenerateRandom, into the caller's buffer.
func (h *HSM) handleGenerateRandom(_ context.Context, _ *session, q *p11.GenerateRandom, _ *p11.None) error {
	if err := engine.Random(q.Buf); err != nil {
		return err // CKR_DEVICE_ERROR, CKR_RANDOM_NO_RNG
	}
	return nil
}

package hsm_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/perilune/perilune/cryptoki/ck"
	"github.com/perilune/perilune/cryptoki/hsm"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/cryptoki/p11test"
	"github.com/perilune/perilune/engine"
	"github.com/perilune/perilune/store"
	"github.com/perilune/perilune/store/memory"
	"github.com/perilune/perilune/store/sqlite"
)

// TestModule runs the suite of the contract over both stores.
func TestModule(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) store.Store{
		"memory": func(*testing.T) store.Store { return memory.New().Open() },
		"sqlite": func(t *testing.T) store.Store {
			st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "home"), sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return st
		},
	} {
		t.Run(name, func(t *testing.T) {
			p11test.Run(t, p11test.Suite{
				Open: func(t *testing.T) p11.Module {
					h, err := hsm.Open(t.Context(), hsm.Options{
						Store: open(t), RootKey: hsm.RootKeyBytes(make([]byte, 32)), Location: name,
						Password: hsm.PasswordCost{Passes: 1, MemoryKiB: 8, Threads: 1}, Log: slog.New(slog.DiscardHandler),
					})
					if err != nil {
						t.Fatal(err)
					}
					return h
				},
				GCMMessage: func(iv, tag []byte) any {
					return &engine.GCMMessageParams{IV: iv, IVGenerator: ck.CKG_NO_GENERATE, Tag: tag, TagBits: uint64(8 * len(tag))}
				},
			})
		})
	}
}

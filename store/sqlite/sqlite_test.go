package sqlite

import (
	"testing"

	"github.com/perilune/perilune/store"
	"github.com/perilune/perilune/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		dir := t.TempDir()
		return func() (store.Store, error) { return Open(t.Context(), dir, Options{}) }
	})
}

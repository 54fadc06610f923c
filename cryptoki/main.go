// Command cryptoki is the shared library libperilune.so: it only wires the
// packages together.
package main

import (
	"context"
	"log/slog"

	"github.com/perilune/perilune/config"
	"github.com/perilune/perilune/cryptoki/capi"
	"github.com/perilune/perilune/cryptoki/local"
	"github.com/perilune/perilune/cryptoki/p11"
	"github.com/perilune/perilune/engine"
)

func init() { capi.Provide(open, engine.ParamPrototypes) }

// open opens the HSM that C_Initialize asks for.
func open() (p11.Module, error) {
	c, err := config.Load(capi.Getenv)
	if err != nil {
		return nil, err
	}
	h, err := local.Open(context.Background(), c)
	if err != nil {
		return nil, err
	}
	slog.SetDefault(h.Log())
	return h, nil
}

func main() {} // asked for by -buildmode=c-shared, never called

# Perilune: `make demo` shows it working, `make test` proves it. CONTRIBUTING.md
# says what each target is for.

GO      ?= go
TAGS    := sqlite_omit_load_extension
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
BUILD   ?= build
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 5000x
PKGS    := ./...

GOFLAGS_BUILD := -trimpath -tags $(TAGS)
LDFLAGS := -s -w
CLIFLAGS := -X main.version=$(VERSION)
SOFLAGS := -linkmode=external "-extldflags=-Wl,--version-script=$(CURDIR)/cryptoki/libperilune.map -Wl,-z,nodelete -Wl,-z,now -Wl,-z,relro"

.DEFAULT_GOAL := build
.PHONY: build lib cli man demo test deps unit clients race fuzz lint vuln generate check bench soak install install-man clean

build: lib cli

lib:
	@mkdir -p $(BUILD)
	CGO_ENABLED=1 $(GO) build $(GOFLAGS_BUILD) -buildmode=c-shared -ldflags '$(LDFLAGS) $(SOFLAGS)' -o $(BUILD)/libperilune.so ./cryptoki
	@rm -f $(BUILD)/libperilune.h

cli:
	@mkdir -p $(BUILD)
	CGO_ENABLED=1 $(GO) build $(GOFLAGS_BUILD) -ldflags '$(LDFLAGS) $(CLIFLAGS)' -o $(BUILD)/perilune ./cmd/perilune

# The manual pages come from the program's own commands.
man: cli
	@rm -rf $(BUILD)/man
	$(BUILD)/perilune man $(BUILD)/man

demo: build
	@test/demo

# Everything that can be tested here. test/setup installs what is missing and
# says what it could not; with CI=true that is an error.
test: deps build lint check unit fuzz clients
	@echo "make test: all parts passed"

deps:
	@test/setup

# The primitives below engine/internal have no goroutines; the tests of the
# engine run them under the race detector all the same. Allocations can only be
# counted without it, and the paths for lesser processors would take minutes.
unit:
	$(GO) test -tags $(TAGS) -race -timeout 20m $$($(GO) list $(PKGS) | grep -v /engine/internal/)
	$(GO) test -tags $(TAGS) -timeout 20m ./engine/internal/...
	$(GO) test -tags $(TAGS) -run 'Allocat|OnLesserProcessors' ./cryptoki/capi ./engine

# The tests through the built library: the C API, real clients, fork, crashes.
clients: build
	cd test && $(GO) test -count=1 -timeout 40m $(PKGS)

race:
	$(GO) test -tags $(TAGS) -race -timeout 60m -count=3 $(PKGS)

# Every fuzz target for FUZZTIME each, inputs or time; make fuzz FUZZTIME=1h to look harder.
fuzz:
	@test/fuzz-all $(FUZZTIME)

lint:
	@fmt=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); if [ -n "$$fmt" ]; then echo "not formatted by gofmt: $$fmt"; exit 1; fi
	$(GO) vet -tags $(TAGS) $(PKGS)
	GOEXPERIMENT=nodwarf5 $(GO) vet -tags valgrind ./engine/...
	cd test && $(GO) vet $(PKGS)
	for m in $$(git ls-files 'engine/*/go.mod'); do (cd $$(dirname $$m) && $(GO) vet .) || exit 1; done
	$(GO) tool staticcheck -tags $(TAGS) $(PKGS)

# Known vulnerabilities; needs the network, so it is not part of make test.
vuln:
	$(GO) tool govulncheck -tags $(TAGS) $(PKGS)

generate:
	$(GO) generate $(PKGS)
	$(GO) test ./engine -run 'Golden|MechanismDocs' -update

# Fails when a generated file is not what its generator makes now.
check:
	@test/check-generated

# BENCH has options: make bench BENCH="-only p256 -modules openssl"
bench: build
	@test/bench/run $(BENCH)

soak: build
	PERILUNE_SOAK=1 $(GO) test -count=1 -timeout 3h ./engine/internal/rsacore
	cd test && PERILUNE_SOAK=1 $(GO) test -count=1 -timeout 3h ./bench ./fork ./crash ./conformance ./wycheproof ./ct

install: build
	install -d $(DESTDIR)$(LIBDIR)/pkcs11 $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include/perilune
	install -m 0755 $(BUILD)/libperilune.so $(DESTDIR)$(LIBDIR)/pkcs11/libperilune.so
	install -m 0755 $(BUILD)/perilune $(DESTDIR)$(PREFIX)/bin/perilune
	install -m 0644 include/pkcs11.h include/perilune.h $(DESTDIR)$(PREFIX)/include/perilune/
	$(MAKE) --no-print-directory install-man

# Manual pages and completion, by the program that was built.
SHARE = $(DESTDIR)$(PREFIX)/share
install-man:
	install -d $(SHARE)/man/man1 $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	$(BUILD)/perilune man $(SHARE)/man/man1
	$(BUILD)/perilune completion bash > $(SHARE)/bash-completion/completions/perilune
	$(BUILD)/perilune completion zsh > $(SHARE)/zsh/site-functions/_perilune
	$(BUILD)/perilune completion fish > $(SHARE)/fish/vendor_completions.d/perilune.fish

clean:
	rm -rf build

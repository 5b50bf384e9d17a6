# gantry. Two commands matter: `make demo` sets up and shows the main job, `make test` sets up and runs every test.

SHELL := /bin/bash
CARGO ?= cargo
# dev, or release: `make run PROFILE=release`.
PROFILE ?= dev
BIN := $(or $(CARGO_TARGET_DIR),target)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))

.DEFAULT_GOAL := help
.PHONY: help setup build demo run test vm-test man completions install uninstall deb bench load versus suite peers fuzz record
# Where `make install` puts things; DESTDIR stands before it.
PREFIX ?= /usr/local
# What a Debian package is made of.
DEB_PROFILE ?= release

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 10

setup: ## install what is missing of the tools that gantry and its tests stand on
	@packaging/setup.sh

build: setup ## build the daemon and the client
	$(CARGO) build --locked --profile $(PROFILE) --bins

demo: build ## the main job, shown: image, container, published port, page, stop, nothing left
	@PATH="$(abspath $(BIN)):$$PATH" tests/demo.sh

record: build ## docs/top.svg: a session of `gantry top`, recorded anew
	@PATH="$(abspath $(BIN)):$$PATH" tests/pictures/record.sh

run: build ## the daemon in the foreground, with its default paths
	$(BIN)/gantryd

test: setup ## formatting, lints with warnings denied, every test
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) test --locked

vm-test: setup deb ## the demo and the core of the suite on stock Debian 12 and 13, under qemu: half an hour each
	$(CARGO) build --locked --bins
	suite=$$($(CARGO) test --locked --no-run --test suite --message-format json | jq -r 'select(.executable != null and .target.name == "suite").executable') && \
	BIN=$(or $(CARGO_TARGET_DIR),target)/debug SUITE=$$suite TESTS="$(TESTS)" tests/vm/run.sh $(or $(RELEASES),12 13)

man: ## the manual pages, under target/man
	mkdir -p target/man
	$(CARGO) run --locked --quiet --example manual target/man
	$(CARGO) run --locked --quiet --bin gantry -- manual >target/man/gantry.1

completions: ## what shells need to complete, under target/completions
	mkdir -p target/completions
	for shell in bash zsh fish; do $(CARGO) run --locked --quiet --bin gantry -- completion $$shell >target/completions/gantry.$$shell || exit 1; done

install: man completions ## build for release, and install with PREFIX (/usr/local) and DESTDIR, systemd's units too
	$(CARGO) build --locked --release --bins
	packaging/install.sh install "$(DESTDIR)" "$(PREFIX)"

uninstall: ## remove what install installed; configuration and images stay
	packaging/install.sh uninstall "$(DESTDIR)" "$(PREFIX)"

deb: man completions ## a Debian package, under target/debian
	command -v cargo-deb >/dev/null || $(CARGO) install --locked --no-default-features cargo-deb
	$(CARGO) deb --locked --profile $(DEB_PROFILE) --output target/debian/gantryd.deb

bench: setup ## how long a run takes, the daemon's memory, and the pure parts in time and instructions
	$(CARGO) bench --locked --bench run --bench network --bench pure

# What measures is built the quick way; what is measured is the release build.
RELEASE := $(abspath $(or $(CARGO_TARGET_DIR),target)/release)

load: setup ## every load file of tests/load, or FILES=…, against a daemon of its own: half a minute
	$(CARGO) build --locked --release --bins
	GANTRYD=$(RELEASE)/gantryd $(CARGO) bench --locked --profile dev --bench load -- $(abspath $(FILES))

# Seconds for each target of fuzz/, and which.
FUZZ_SECONDS ?= 60
TARGETS ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))

fuzz: ## every target of fuzz/, or TARGETS=…, for FUZZ_SECONDS (60) each; needs a nightly compiler
	command -v cargo-fuzz >/dev/null || $(CARGO) install --locked cargo-fuzz
	$(CARGO) +nightly fuzz build
	for target in $(TARGETS); do $(CARGO) +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 || exit 1; done

peers: ## install what gantry is compared with
	@packaging/setup.sh peers

versus: peers ## gantry, docker and podman side by side; half an hour, benches/versus/main.rs tells what bounds it
	$(CARGO) build --locked --release --bins
	VERSUS_BIN=$(RELEASE) $(CARGO) bench --locked --profile dev --bench versus

suite: peers ## httpd containers of each engine in turn under requests, for HOURS=… in all
	$(CARGO) build --locked --release --bins
	HOURS=$(or $(HOURS),0.5) VERSUS_BIN=$(RELEASE) $(CARGO) bench --locked --profile dev --bench versus -- suite

# The same few recipes run on a laptop and in CI.
.DEFAULT_GOAL := help
.PHONY: help demo test guests build bench bench-quick chaos fmt lint deny advisories clean

CARGO ?= cargo

help: ## Lists the recipes
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

demo: build guests ## Shows the main job in the terminal (DEMO_ONCE=1: ends after it)
	@target/debug/wxhost-demo

test: build guests ## Builds everything and runs every test
	$(CARGO) test --locked --workspace

build: ## Builds the host and the tools around it
	$(CARGO) build --locked --workspace --bins

guests: ## Builds the example bots and the test guests into target/guests
	./guests/build.sh

bench: ## Measures speed and size against a native baseline, as ratios (release build)
	./guests/build.sh
	$(CARGO) build --locked --release --package wxhost --package wxhost-tests --bins
	target/release/wxhost-bench

bench-quick: ## The same in a minute, for a first look
	./guests/build.sh
	$(CARGO) build --locked --release --package wxhost --package wxhost-tests --bins
	target/release/wxhost-bench --quick

chaos: build guests ## The long fault campaigns: more kills than `make test` has time for
	WXHOST_KILLS=200 $(CARGO) test --locked --workspace --test e2e durability -- --nocapture
	WXHOST_CLIENT_KILLS=1000 $(CARGO) test --locked --workspace --test e2e openwx_chaos -- --nocapture

fmt: ## Formats the code
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path guests/foreign/spin/Cargo.toml

lint: ## Checks format and lints, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path guests/foreign/spin/Cargo.toml --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

deny: ## Checks licences, sources and banned crates
	$(CARGO) deny --locked check bans licenses sources

advisories: ## Checks for known vulnerabilities (fetches the advisory database)
	$(CARGO) deny --locked check advisories

clean: ## Removes what was built, and the demo's data
	$(CARGO) clean
	rm -rf demo-data

# What can be run here. `make test` is everything that must pass.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test tools format lint rust browser bench package package-test

help: ## Show what there is
	@sed -nE 's/^([a-z-]+):.*## /\1\t/p' Makefile | expand -t 14

run: ## Start the server; it prints the address where the first organization is set up
	cargo run --release -- serve

test: tools format lint rust browser ## Format, lints, tests, stories in a browser
	@rust=$$(awk '/^test result: ok/ { n += $$4 } END { print n }' target/rust-tests.log)
	browser=$$(sed -nE 's/^.*pass ([0-9]+)$$/\1/p' target/browser-tests.log | tail -n 1)
	echo "test summary: $$rust tests in Rust and $${browser:-0} stories in a browser passed, 0 failed"

# Debian names. Elsewhere have Rust (the version in Cargo.toml), Node.js 18 or later, npm and Chromium.
tools:
	@missing=()
	command -v cc >/dev/null || missing+=(gcc libc6-dev)
	command -v node >/dev/null || missing+=(nodejs)
	command -v npm >/dev/null || missing+=(npm)
	[ -n "$${CHROMIUM:-}" ] || command -v chromium >/dev/null || missing+=(chromium)
	if [ $${#missing[@]} -gt 0 ]; then
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
			apt-get update -qq
			DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}"
		else
			echo "make test needs: $${missing[*]}" >&2
			exit 1
		fi
	fi
	cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy

format:
	cargo fmt --check

lint:
	cargo clippy --all-targets --locked -- -D warnings

rust:
	@mkdir -p target
	RUST_BACKTRACE=0 cargo test --locked 2>&1 | tee target/rust-tests.log

# The stories start target/debug/vestibule, which the tests in Rust have built.
browser:
	@mkdir -p target && : > target/browser-tests.log
	if grep -q '"test":' tests/browser/package.json; then
		cd tests/browser
		npm ci --no-audit --no-fund
		npm test 2>&1 | tee ../../target/browser-tests.log
	fi

bench: ## Measure speed and size against yardsticks (bench/README.md)
	cargo build --release
	cargo bench --bench ratios

package: ## Build the Debian package (needs cargo-deb)
	cargo deb --profile dist

package-test: ## Build, install, start and purge the Debian package: as root, on a machine to throw away
	packaging/test.sh

.ONESHELL:

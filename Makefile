# What can be run here. `make test` is everything that must pass.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test tools format lint rust postgres browser bench package package-test

help: ## Show what there is
	@sed -nE 's/^([a-z-]+):.*## /\1\t/p' Makefile | expand -t 14

run: ## Start the server; it prints the address where the first organization is set up
	cargo run --release -- serve

test: tools format lint rust postgres browser ## Format, lints, tests and stories in a browser, on SQLite and on PostgreSQL
	@rust=$$(awk '/^test result: ok/ { n += $$4 } END { print n }' target/rust-tests.log target/postgres-tests.log)
	browser=$$(awk '/pass [0-9]+$$/ { n += $$NF } END { print n }' target/browser-tests.log)
	echo "test summary: $$rust tests in Rust and $${browser:-0} stories in a browser passed, 0 failed"

# Debian names. Elsewhere have Rust (the version in Cargo.toml), Node.js 18 or later, npm, Chromium, PostgreSQL 15 or later, HAProxy, nginx
# and libfaketime.
tools:
	@missing=()
	command -v cc >/dev/null || missing+=(gcc libc6-dev)
	command -v node >/dev/null || missing+=(nodejs)
	command -v npm >/dev/null || missing+=(npm)
	command -v openssl >/dev/null || missing+=(openssl)
	[ -x /usr/sbin/haproxy ] || command -v haproxy >/dev/null || missing+=(haproxy)
	[ -x /usr/sbin/nginx ] || command -v nginx >/dev/null || missing+=(nginx-light)
	ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || missing+=(faketime)
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
	[ -n "$${CHROMIUM:-}" ] || command -v chromium >/dev/null || missing+=(chromium)
	if [ $${#missing[@]} -gt 0 ]; then
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
			apt-get update -qq
			# The tests start what they need themselves: no installed service takes a port (exit 101 of policy-rc.d).
			policy=/usr/sbin/policy-rc.d
			[ -e $$policy ] || { printf '#!/bin/sh\nexit 101\n' >$$policy && chmod +x $$policy && trap "rm -f $$policy" EXIT; }
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

# The same stories on a PostgreSQL of their own, which is thrown away.
postgres:
	@mkdir -p target
	folder=$$(mktemp -d)
	trap 'tests/postgres/server.sh stop "$$folder"' EXIT
	export TEST_POSTGRES=$$(tests/postgres/server.sh start "$$folder")
	RUST_BACKTRACE=0 cargo test --locked --test it 2>&1 | tee target/postgres-tests.log

# The stories start target/debug/vestibule, which the tests in Rust have built.
browser:
	@mkdir -p target
	folder=$$(mktemp -d)
	trap 'tests/postgres/server.sh stop "$$folder"' EXIT
	(cd tests/browser && npm ci --no-audit --no-fund)
	npm test --prefix tests/browser 2>&1 | tee target/browser-tests.log
	export TEST_POSTGRES=$$(tests/postgres/server.sh start "$$folder")
	npm test --prefix tests/browser 2>&1 | tee -a target/browser-tests.log

bench: ## Measure speed and size against yardsticks (bench/README.md)
	cargo build --release
	cargo bench --bench ratios

package: ## Build the Debian package (needs cargo-deb)
	cargo deb --profile dist

package-test: ## Build the Debian package and boot it under systemd in a Debian of its own: as root
	packaging/test.sh

.ONESHELL:

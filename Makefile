# Two commands on a fresh machine: `make demo` and `make test`.

CARGO ?= cargo

.PHONY: help build demo test lint bench fuzz package tools clean

help: ## Say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

protoc: .tools/protoc/bin/protoc

.tools/protoc/bin/protoc:
	@command -v protoc >/dev/null || tests/tools/get protoc

build: protoc ## Build the program as it ships: target/release/etcdrx
	$(CARGO) build --release --locked

demo: protoc ## Show the main job end to end on a scratch cluster
	tests/tools/get protoc etcd-3.6 || tests/tools/get etcd-3.4 || tests/tools/get etcd-3.5.1
	$(CARGO) build --locked
	$(CARGO) run --locked --quiet --example demo

tools: ## Get the real servers that the tests run against, into .tools
	tests/tools/get --all; status=$$?; test $$status -eq 0 -o $$status -eq 3

# Tests wait for servers much of the time: one more of them than there are cores.
test: tools ## Run every test, against every real server that this machine can have
	@rm -f .tools/skipped
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(($$(nproc) + 1))} CARGO=$(CARGO) tests/tools/suite
	@tests/tools/summary

lint: protoc ## Format, clippy and docs, with warnings denied
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --locked --no-deps --document-private-items

bench: protoc ## Measure against etcdctl, etcdutl and zstd, interleaved: prints ratios
	tests/tools/get etcd-3.6
	$(CARGO) build --release --locked
	$(CARGO) bench --locked --bench backup --bench data --bench recovery

package: protoc ## Make a static binary and a .deb in target/package; docs/packages.md says what that takes
	packaging/build

fuzz: ## Fuzz every target for FUZZ_SECONDS each (30), with the compiler that is here
	fuzz/run

clean: ## Remove what was built, but not the servers in .tools
	$(CARGO) clean
	rm -rf fuzz/target
	rm -rf .demo

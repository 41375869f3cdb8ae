.PHONY: fuzz
FUZZ_SECONDS ?= 180
fuzz: ## feed the calculator any input for a few minutes (needs a nightly toolchain and cargo-fuzz)
	@if ! cargo +nightly fuzz --version >/dev/null 2>&1; then \
	  echo "fuzz: not run: this needs a nightly toolchain and cargo-fuzz (cargo install cargo-fuzz)"; \
	else \
	  cd rust/fuzz-discount && cargo +nightly fuzz run --fuzz-dir . decide corpus/decide -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096; \
	fi

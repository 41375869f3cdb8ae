.PHONY: fuzz
fuzz: ## Fuzz the calculator for FUZZ_SECONDS (180)
	.ci/cargo-fuzz rust/fuzz-discount decide $${FUZZ_SECONDS:-180} -max_len=4096 -timeout=10

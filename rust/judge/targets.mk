.PHONY: judge
judge: ## hold the calculator's best against every set of up to 22 candidates
	cargo run --locked --release -q -p couponry-judge -- 300 22

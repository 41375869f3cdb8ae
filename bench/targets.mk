# What the calculator and the caches cost and are worth.
BENCH := PYTHONPATH=python:. .venv/bin/python -m

.PHONY: bench-discount
bench-discount: build ## The calculator's speed table: Rust, library, gRPC at both front ends (QUICK=1: short)
	$(BENCH) bench.discount.run

.PHONY: bench-cache bench-cache-memory
bench-cache: build ## Hit rates on traces, what a hit costs, memory, and how soon a commit reaches L1
	cargo build --locked --release -q -p couponry-traces
	$(BENCH) bench.cache.run

MEMORY_SECONDS ?= 600
bench-cache-memory: build ## L1 at its capacity under random sizes for MEMORY_SECONDS: the process against its limit
	$(BENCH) bench.cache.memory --seconds $(MEMORY_SECONDS)

# The front end against other projects' clients and checkers, against peers that mean harm, and its speed.
# FRONTEND=reference runs the same against grpc.aio. What cannot be had here (Go, Java, h2load) is skipped with the reason.
FRONTEND ?= native
CONFORMANCE_PYTHON ?= .venv/bin/python
CONFORMANCE := PYTHONPATH=python:.$(if $(PYTHONPATH),:$(PYTHONPATH)) $(CONFORMANCE_PYTHON) -m

.PHONY: conformance abuse leak bench-frontend fuzz-wire
conformance: build ## Run gRPC's interop clients, h2spec, grpcurl, ghz and h2load; then compare random calls at both front ends
	$(CONFORMANCE) tests.conformance.run --frontend $(FRONTEND) $(RUNS)
	DIFFERENTIAL_EXAMPLES=$${DIFFERENTIAL_EXAMPLES:-500} $(CONFORMANCE) pytest -q tests/conformance/test_differential.py

abuse: build ## Attack the front end with floods, resets and peers that stop
	$(CONFORMANCE) tests.conformance.abuse --frontend $(FRONTEND)

leak: build ## Ten million calls and 100,000 connections cut at random points, then nothing is left (LEAK_CALLS, LEAK_CONNECTIONS)
	$(CONFORMANCE) tests.conformance.leak

bench-frontend: build ## Measure both front ends and print the speed table
	$(CONFORMANCE) bench.frontend.run --rounds $${ROUNDS:-3}

fuzz-wire: ## Fuzz the bytes that reach the wire crate, each target for FUZZ_SECONDS (60)
	for target in connection framing; do \
	  .ci/cargo-fuzz rust/fuzz $$target $${FUZZ_SECONDS:-60} -max_len=8192 -rss_limit_mb=1024 -timeout=10; \
	done

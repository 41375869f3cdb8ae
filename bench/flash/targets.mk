# The flash sale's speed. QUICK=1: one run of 2 s a row.
.PHONY: bench-flash
BENCH_FLASH := PYTHONPATH=python:. .venv/bin/python -m

bench-flash: build ## Measure claims, the persister and ReceiveCoupon; the books are checked after each run (QUICK=1)
	$(BENCH_FLASH) bench.flash.run $(if $(QUICK),--runs 1 --seconds 2)

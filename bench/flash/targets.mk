# The flash sale's speed. QUICK=1: one run of 2 s a row.
.PHONY: bench-flash bench-flash-open
BENCH_FLASH := PYTHONPATH=python:. .venv/bin/python -m

bench-flash: build ## Measure claims, the persister and ReceiveCoupon; the books are checked after each run (QUICK=1)
	$(BENCH_FLASH) bench.flash.run $(if $(QUICK),--runs 1 --seconds 2)

bench-flash-open: build ## A sale that opens at second 0 with 8,000 connected clients: the first second
	$(BENCH_FLASH) bench.flash.opening

# Storms over the running service, with a judge. A seed names the faults and their order.
SEED ?= 1
KILLS ?= 100
CHAOS := GRPC_VERBOSITY=NONE PYTHONPATH=python:. .venv/bin/python -m

.PHONY: chaos-flash chaos-flash-faults
chaos-flash: build ## Kill, cut and rob everything under a flash sale, then judge every answer (SEED, KILLS)
	$(CHAOS) tests.chaos.flash.run --seed $(SEED) --kills $(KILLS)

chaos-flash-faults: build ## Leave out one rule of the flash sale after the other; the judge must notice each
	$(CHAOS) tests.chaos.flash.planted --seed $(SEED)

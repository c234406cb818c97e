# make demo   train, cut, decode and score on the embedded corpus
# make test   run the tests, in up to four processes of one thread
# make quick  run the tests of the core, in under a minute on an idle machine
# make lint   check style, types and that the documentation can be built
# make site   build the documentation in build/site
# make venv   only make the environment in .venv (the other targets do it when it is missing)

SHELL := /bin/bash
STAMP := .venv/.complete
CORES := $(shell nproc 2>/dev/null || echo 2)
WORKERS := $(shell echo $$(($(CORES) < 4 ? $(CORES) : 4)))

.PHONY: demo test quick lint site venv clean

QUICK := tests/supernet tests/transducer tests/optim tests/encoder tests/frontend tests/common

venv: $(STAMP)

# zipformer is the reference that ScaledAdam is tested against; its own dependencies are of older versions.
# The stamp is written last, so that an interrupted set-up is done again.
$(STAMP): setup.py constraints.txt
	@python=$$(local/find_python.sh) && echo "making .venv with $$python (about 3 minutes, 7 GB)" && \
	rm -rf .venv && $$python -m venv .venv && \
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[espnet,recipe,tests,export,lm,docs]' && \
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps zipformer && \
	touch $@ && echo "environment ready"

demo: $(STAMP)
	egs2/librispeech_todm/run.sh --corpus mini

test: $(STAMP)
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

quick: $(STAMP)
	OMP_NUM_THREADS=$(CORES) .venv/bin/python -m pytest -x --durations=0 --durations-min=2 $(QUICK)

lint: $(STAMP)
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy
	$(MAKE) --no-print-directory site

site: $(STAMP)
	NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict --quiet

clean:
	rm -rf .venv egs2/librispeech_todm/{data,dump,exp,downloads}

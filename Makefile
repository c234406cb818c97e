# make demo   train, cut, decode and score on the embedded corpus
# make test   run the tests
# make lint   check style
# make venv   only make the environment in .venv (the other targets do it when it is missing)

SHELL := /bin/bash
STAMP := .venv/.complete
CORES := $(shell nproc 2>/dev/null || echo 2)

.PHONY: demo test lint venv clean

venv: $(STAMP)

# zipformer is the reference that ScaledAdam is tested against; its own dependencies are of older versions.
# The stamp is written last, so that an interrupted set-up is done again.
$(STAMP): setup.py constraints.txt
	@python=$$(local/find_python.sh) && echo "making .venv with $$python (about 3 minutes, 7 GB)" && \
	rm -rf .venv && $$python -m venv .venv && \
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[recipe,tests,export,lm]' && \
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps zipformer && \
	touch $@ && echo "environment ready"

demo: $(STAMP)
	egs2/librispeech_todm/run.sh --corpus mini

test: $(STAMP)
	OMP_NUM_THREADS=$(CORES) .venv/bin/python -m pytest

lint: $(STAMP)
	.venv/bin/ruff check . && .venv/bin/ruff format --check .

clean:
	rm -rf .venv egs2/librispeech_todm/{data,dump,exp,downloads}

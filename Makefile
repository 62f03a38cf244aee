# make run     a small internet is scanned, and Darkflow answers for nobody in it (root: live)
# make test    every test, and the linters
# make lint    ruff, mypy, import-linter
# make bench   the benchmarks; writes the table of docs/performance.md
# make soak    ten minutes of the live sensor under load (root); SECONDS and RATE shorten it
# make sanitize  the kernels under AddressSanitizer and UBSan, with the fuzzer
# Each target brings what it needs (tools/prepare); nothing else has to be typed.

SOURCES := pyproject.toml setup.py constraints.txt tools/prepare tools/honeypots $(wildcard contrib/honeypots/*.txt) $(shell find src -name '*.p[yx]*')
BIN := .venv/bin
SECONDS := 600
RATE := 50000
export PATH := $(CURDIR)/$(BIN):$(PATH):/usr/sbin:/sbin

.PHONY: run test lint bench soak sanitize clean

run: .venv/ready-run
	@darkflow lab --recorded examples/lab.pcap

test: .venv/ready-test
	@python -m pytest -n 5

lint: .venv/ready-test
	ruff check .
	ruff format --check .
	mypy
	lint-imports

bench: .venv/ready-test
	python bench/run.py

soak: .venv/ready-test
	python bench/soak.py --seconds $(SECONDS) --rate $(RATE)

sanitize: .venv/ready-test
	python tools/sanitize.py

.venv/ready-%: $(SOURCES)
	@tools/prepare $*
	@touch $@

clean:
	rm -rf .venv .honeypots build src/*.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
	find src -name '*.so' -delete

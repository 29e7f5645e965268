# `make demo` shows what SignalCAM does, `make check` answers in minutes while you work, `make test` shows that it works.
PYTHON ?= python3
PIP = bin/python -m pip --disable-pip-version-check install --quiet

.PHONY: demo check test bench clean

demo: .venv/demo/ready
	.venv/demo/bin/signalcam demo

check: .venv/nox/ready .nox/check/ready
	.venv/nox/bin/nox -s check -- --no-install

test: .venv/nox/ready
	.venv/nox/bin/nox

bench: .venv/bench/ready
	.venv/bench/bin/python -m benchmarks.run

.venv/demo/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv/demo
	.venv/demo/$(PIP) --constraint constraints.txt --editable ".[demo]"
	touch $@

.venv/nox/ready: constraints.txt
	$(PYTHON) -m venv .venv/nox
	.venv/nox/$(PIP) --constraint constraints.txt nox
	touch $@

.venv/bench/ready: pyproject.toml benchmarks/requirements.txt benchmarks/requirements-peers.txt
	$(PYTHON) -m venv .venv/bench
	.venv/bench/$(PIP) --requirement benchmarks/requirements.txt
	.venv/bench/$(PIP) --no-deps --requirement benchmarks/requirements-peers.txt
	.venv/bench/$(PIP) --no-deps --editable .
	touch $@

.nox/check/ready: pyproject.toml constraints.txt | .venv/nox/ready
	.venv/nox/bin/nox -s check --install-only
	touch $@

clean:
	rm -rf .venv .nox demo

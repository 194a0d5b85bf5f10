# Each target sets up what it needs in .venv, once; later runs start at once.
PYTHON ?= python3
BIN := .venv/bin
TWO := -n 2 --dist loadfile --no-loadscope-reorder  # tests/conftest.py puts the longest first

.PHONY: demo lab labs test test-fast test-notebooks test-all coverage versions notebooks site lint clean

demo: .venv/installed            ## train on built-in images, print a table, write report.html
	$(BIN)/python -m differnet_lite demo

lab: .venv/installed-dev         ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks/

test: test-fast test-notebooks   ## style, types, unit tests, documentation examples, notebooks, browser

test-fast: .venv/installed-dev lint  # two at a time, with one thread each: with two each they would wait for each other
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TWO) -m "not slow"

test-notebooks: .venv/installed-dev  # two at a time: each fixes one thread, so that its digits are the same everywhere
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --nbval notebooks/ -n 2 --dist loadfile

test-all: test                   ## and what takes long: nine methods, all labs through nbgrader, a cluster, ONNX, every explorer
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TWO) -m slow

coverage: .venv/installed-dev    ## which lines and branches the tests run, in %
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(TWO) --cov=differnet_lite --cov=differnet_course --cov-branch --cov-report=term-missing

versions: .venv/installed        ## on every Python that is here, with the newest and the oldest requirements; the wheel
	$(BIN)/python scripts/versions.py

notebooks: .venv/installed-dev   ## run all notebooks and keep their outputs, with pictures (needs Chromium)
	$(BIN)/python scripts/execute_notebooks.py

site: .venv/installed-dev        ## the notebooks as plain pages in site/, without Jupyter or a network
	$(BIN)/python scripts/write_site.py

labs: .venv/installed-dev        ## derive student and solution notebooks, run the solutions, make an nbgrader course
	$(BIN)/python scripts/make_labs.py
	$(BIN)/python scripts/execute_notebooks.py notebooks/labs/solutions/*.ipynb
	$(BIN)/python scripts/make_labs.py --course  # with the pictures that the solutions have drawn

lint: .venv/installed-dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

clean:                           ## forget the virtual environment and generated data
	rm -rf .venv data/flange data/weave data/tablet data/switch data/button data/larger data/labs report.html site

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; set PYTHON=python3.11 or the like")'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/installed-dev: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ .venv/installed

# Needs only Python 3.11 to 3.13, git and make. `make help` lists the targets.

# PYTHON=... names the interpreter that .venv is made with; otherwise the first
# one that fits. Everything after that runs inside .venv.
PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
VENV ?= .venv
STAMP := $(VENV)/.installed
LAB_SETTINGS := $(VENV)/share/jupyter/lab/settings
NOTEBOOKS := notebooks $(wildcard solutions)

# Jupyter refuses to run as root, which is who one is in most containers.
ALLOW_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help setup lab test lint render lesson exercises results clean
.DEFAULT_GOAL := help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## Make .venv with the pinned packages; at once when nothing changed

# Trusted notebooks show their widgets, and not only once they have been run.
lab: setup ## Open JupyterLab on lesson 00 (LAB_ARGS="--no-browser --port 8899")
	@$(VENV)/bin/jupyter trust $(addsuffix /*.ipynb,$(NOTEBOOKS)) >/dev/null
	$(VENV)/bin/jupyter lab $(ALLOW_ROOT) --ServerApp.root_dir=. \
		--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(LAB_ARGS)

# Two processes, each with whole files. PASSIVE: threads that wait give up their core,
# or a busy machine would get nowhere.
test: setup ## Run every test, the notebooks included (ARGS="-k batching")
	OMP_WAIT_POLICY=PASSIVE $(VENV)/bin/python -m pytest -n 2 --dist loadfile \
		--nbval tests $(NOTEBOOKS) $(ARGS)

lint: setup ## Check the style of code and notebooks
	$(VENV)/bin/ruff check .

render: setup ## Run all lessons and solutions anew, in order, and save their outputs
	$(VENV)/bin/python tools/render.py $(NOTEBOOKS)

lesson: setup ## Run one lesson anew and save its outputs: make lesson N=04
	$(if $(N),,$(error Say which lesson: make lesson N=04))
	$(VENV)/bin/python tools/render.py notebooks/$(N)_*.ipynb

exercises: setup ## Make exercises/ from solutions/: without solutions, for learners
	$(VENV)/bin/python tools/exercises.py $(ARGS)

# The lessons' tables are kept row by row: to measure one anew, delete its CSV file.
results: setup ## Measure all recommenders, and what the lessons' tables lack (an hour)
	$(VENV)/bin/python benchmarks/results.py $(ARGS)
	for script in benchmarks/lesson_*.py; do $(VENV)/bin/python $$script || exit; done

clean: ## Remove .venv and everything else that was generated
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt tools/overrides.json
	@for python in $(PYTHONS); do \
		if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
			2>/dev/null; then \
			test -x $(VENV)/bin/python || $$python -m venv --clear $(VENV); exit; \
		fi; \
	done; \
	echo "Python 3.11, 3.12 or 3.13 is needed; tried: $(PYTHONS)." >&2; \
	echo "Install one and name it: make setup PYTHON=/path/to/python3.12" >&2; \
	exit 1
	$(VENV)/bin/python -m pip install --disable-pip-version-check \
		--constraint constraints.txt --editable ".[dev]"
	@mkdir -p $(LAB_SETTINGS)
	@cp tools/overrides.json $(LAB_SETTINGS)
	@touch $(STAMP)

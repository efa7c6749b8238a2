# What there is: make help. Variables: README.md.
PYTHON ?= python3
DATA ?= auto
PRETRAINING ?= auto
PROFILE ?= standard
OUT ?=
TRAIN ?=
export DATA PRETRAINING PROFILE OUT

VENV_PYTHON := $(if $(wildcard .venv/Scripts/python.exe),.venv/Scripts/python.exe,.venv/bin/python)
RUN_FOLDER = $(if $(OUT),$(OUT),runs/$(PROFILE))

yes := 1 y yes true on
no := 0 n no false off
answer := $(shell echo "$(TRAIN)" | tr '[:upper:]' '[:lower:]')
ifneq ($(filter-out $(yes) $(no),$(answer)),)
$(error TRAIN=$(TRAIN) is neither yes nor no)
endif

.PHONY: help figures test test-all lab report bench clean environment

help:
	@echo "make figures    environment, data, all notebooks, the figures: minutes; what is trained anew takes longer"
	@echo "make lab        JupyterLab on working copies of the notebooks"
	@echo "make test       the tests, some minutes; make test-all: those that take longer as well"
	@echo "make report     the executed notebooks of the last run as web pages"
	@echo "make bench      speed and memory, as ratios: some minutes"
	@echo "make clean      remove the environment and all runs"
	@echo
	@echo "with            DATA=auto|phantom|PATH           the cohort (default: auto, the public archive)"
	@echo "                PRETRAINING=auto|download|PATH   glioblastoma images (default: the weights of the course)"
	@echo "                PROFILE=smoke|standard|paper     how much (default: standard)"
	@echo "                TRAIN=yes                        train, even where scores come with the course"
	@echo "                OUT=DIR                          run folder (default: runs/PROFILE)"
	@echo "                PYTHON=python3.12                the Python to begin with, 3.11 or newer"

figures: environment
	@$(VENV_PYTHON) -m radiogen_utils run --data "$$DATA" --pretraining "$$PRETRAINING" --profile "$$PROFILE" \
		$(if $(OUT),--out "$$OUT") $(if $(filter $(yes),$(answer)),--train) --publish

test: environment
	@$(VENV_PYTHON) -m pytest -n auto --dist loadgroup -m "not slow"

test-all: environment
	@$(VENV_PYTHON) -m pytest -n auto --dist loadgroup

lab: environment
	@$(VENV_PYTHON) -m radiogen_utils lab

report: environment
	@ls "$(RUN_FOLDER)"/notebooks/*.ipynb > /dev/null 2>&1 || { echo "no notebooks in $(RUN_FOLDER): run make figures first"; exit 1; }
	@$(VENV_PYTHON) -m jupyter nbconvert --to html --output-dir "$(RUN_FOLDER)/html" "$(RUN_FOLDER)"/notebooks/*.ipynb

# Needs one more package, MONAI, to compare with.
bench: environment
	@$(VENV_PYTHON) -m pip install --disable-pip-version-check --quiet -c constraints.txt -e ".[bench]"
	@$(VENV_PYTHON) benchmarks/run.py --data "$$DATA"

clean:
	rm -rf .venv runs

environment:
	@$(PYTHON) install.py

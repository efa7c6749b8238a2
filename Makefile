# make figures | test | lab | report | bench        (DATA, PRETRAINING, PROFILE, OUT, TRAIN: see README.md)
PYTHON ?= python3
DATA ?= auto
PRETRAINING ?= auto
PROFILE ?= standard
OUT ?= runs/$(PROFILE)

BIN := .venv/bin
STAMP := .venv/installed

.PHONY: figures test lab report bench clean

figures: $(STAMP)
	$(BIN)/python -m radiogen_utils run --data "$(DATA)" --pretraining "$(PRETRAINING)" --profile "$(PROFILE)" --out "$(OUT)" $(if $(TRAIN),--train) --publish

test: $(STAMP)
	$(BIN)/python -m pytest

lab: $(STAMP)
	$(BIN)/jupyter lab --notebook-dir=. notebooks/01_cohort.ipynb

# The executed notebooks of the last run as web pages.
report: $(STAMP)
	$(BIN)/jupyter nbconvert --to html --output-dir "$(OUT)/html" "$(OUT)"/notebooks/*.ipynb

# Speed and memory, as ratios; needs one more package, MONAI, to compare with.
bench: $(STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e ".[bench]"
	$(BIN)/python benchmarks/run.py --data "$(DATA)"

clean:
	rm -rf .venv runs

# Installs once; without network it is not touched again until the requirements change.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; give one with PYTHON=..."; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt -e ".[test]"
	touch $@

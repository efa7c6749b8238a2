# Needs make (3.81 or newer) and Python 3.11 or newer. `make help` lists the targets; README.md says what they do.
PYTHON ?= python3
PY := .venv/bin/python

YES := 1 y Y yes Yes YES true True TRUE on On ON
NO := 0 n N no No NO false False FALSE off Off OFF
ifneq ($(filter-out $(YES) $(NO),$(TRAIN))$(word 2,$(TRAIN)),)
$(error TRAIN=$(TRAIN) is neither yes nor no: give 1 (train) or 0 (read precomputed scores))
endif

# The shell reads what was given from the environment, and make does not expand it: spaces, quotes and dollars survive.
override PYTHON := $(value PYTHON)
override DATA := $(value DATA)
override PRETRAINING := $(value PRETRAINING)
override PROFILE := $(value PROFILE)
override OUT := $(value OUT)
export PYTHON DATA PRETRAINING PROFILE OUT
# Another project's packages have no place in this environment.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP

# Only what was given: the defaults are those of the command line.
OPTIONS = $(strip $(if $(DATA),--data "$$DATA") $(if $(PRETRAINING),--pretraining "$$PRETRAINING") \
	$(if $(PROFILE),--profile "$$PROFILE") $(if $(OUT),--out "$$OUT") $(if $(filter $(YES),$(TRAIN)),--train))

.PHONY: help environment figures test test-all lint lab notebooks site bench clean

help:
	@echo 'make figures    data, all notebooks, the three figures: some minutes'
	@echo 'make lab        JupyterLab with the notebooks'
	@echo 'make site       the website of the course, from the last run: a minute'
	@echo 'make test       the quick tests: some minutes'
	@echo 'make test-all   all tests: about a quarter of an hour'
	@echo 'make lint       style, annotations and spelling: seconds (make test begins with it)'
	@echo 'make notebooks  fills in what can be looked up, and removes outputs: seconds (for authors)'
	@echo 'make bench      speed and memory, as ratios: some minutes'
	@echo 'make clean      deletes .venv and runs'
	@echo
	@echo 'The first one installs the requirements in .venv: a minute or two, about 2 GB (6 GB with an NVIDIA GPU).'
	@echo
	@echo 'DATA=auto         the cohort: a zip or folder, phantom, or auto (data/, else the download, else the phantom)'
	@echo 'PRETRAINING=auto  glioblastoma slices: a zip or folder, phantom, or auto (data/, else the weights of the course)'
	@echo 'PROFILE=standard  how much is computed: smoke, standard or paper'
	@echo 'OUT=runs/PROFILE  folder of the run'
	@echo 'TRAIN=0           1 trains (half an hour to an hour and a half) instead of reading precomputed scores'
	@echo 'PYTHON=python3    the Python, 3.11 or newer, from which .venv is made'
	@echo
	@echo "For example: make figures DATA='my archive.zip' TRAIN=1"

# Looks whether .venv is sound and up to date, and installs only if it is not.
environment:
	@"$$PYTHON" install.py

figures: environment
	$(PY) -m radiogen_utils run $(OPTIONS) --publish

# The same before each commit: .pre-commit-config.yaml.
lint: environment
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m codespell_lib

test: lint
	$(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not slow"

test-all: lint
	$(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder

lab: environment
	$(PY) -m radiogen_utils lab

# Links to the glossary, references, minutes: radiogen_utils/course/authoring.py.
notebooks: environment
	$(PY) -m radiogen_utils.course.authoring

# Of the run in OUT or of PROFILE; if neither is given, of the latest; without any, of the precomputed results.
site:
	@"$$PYTHON" install.py site
	@out="$${OUT:-$${PROFILE:+runs/$$PROFILE}}" && $(PY) -m radiogen_utils.course.site $${out:+--run "$$out"}

# Compares with one more package, MONAI.
bench:
	@"$$PYTHON" install.py bench
	$(PY) benchmarks/run.py $(if $(DATA),--data "$$DATA")

clean:
	rm -rf .venv runs

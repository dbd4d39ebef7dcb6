# Every target sets up .venv by itself the first time; after that it starts at once.

PYTHON  ?= python3
LIBRARY ?= outputs
HEAD    ?= outputs/training/stills/head.safetensors
VENV    := .venv
RUN     := $(VENV)/bin/python
PIP     := $(RUN) -m pip --disable-pip-version-check
ARGS    ?=
INSTALLING = @echo "installing into $(VENV): about 7 GB, some minutes"
# By itself: it asks for opencv-python, whose files are those of the headless wheel.
TRACKEVAL = $(PIP) install --quiet --constraint constraints.txt --no-deps trackeval

.DEFAULT_GOAL := help
.PHONY: help setup train index enroll query people export demo test check format bench bench-lfw bench-clips bench-tracks bench-identity stills clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

# The stamps are files, so that make sees when what they depend on has changed.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON): is older than Python 3.11 (install a newer one, or make PYTHON=python3.12)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALLING)
	$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALLING)
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	$(TRACKEVAL)
	@touch $(VENV)/.installed $(VENV)/.installed-training $@

$(VENV)/.installed-training: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALLING)
	$(PIP) install --quiet --constraint constraints.txt --editable '.[training]'
	$(TRACKEVAL)
	@touch $(VENV)/.installed $@

setup: $(VENV)/.installed ## install what the indexer needs into .venv

# Names come through the environment, so that the shell takes nothing in them for its own. VIDEO
# is one file, or several without spaces in their names, or a pattern.
export LIBRARY HEAD

needs-index := VIDEO=ep.mp4
index: $(VENV)/.installed ## VIDEO="ep.mp4 ...": put videos into the library
	@set -- "$$VIDEO"; test -e "$$VIDEO" || set -- $$VIDEO; \
	  $(RUN) -m indexer index --library "$$LIBRARY" $(ARGS) -- "$$@"

needs-enroll := FACES=folder
enroll: $(VENV)/.installed ## FACES=folder: name people from stills, one folder per person
	@$(RUN) -m indexer enroll --library "$$LIBRARY" $(ARGS) -- "$$FACES"

needs-query := CHARACTER=Ann
query: $(VENV)/.installed ## CHARACTER=name: list the scenes of a character, best first
	@$(RUN) -m indexer query --library "$$LIBRARY" $(ARGS) --character="$$CHARACTER"

people: $(VENV)/.installed ## list everybody by screen time
	@$(RUN) -m indexer people --library "$$LIBRARY" $(ARGS)

needs-export := EPISODE=ep
export: $(VENV)/.installed ## EPISODE=name: print the per-frame timeline as JSON
	@$(RUN) -m indexer export --library "$$LIBRARY" $(ARGS) -- "$$EPISODE"

demo: $(VENV)/.installed-training ## make an episode, enrol its cast, index and query it
	@$(RUN) -m training demo outputs/demo

needs-train := RECIPE=siamese FACES=folder
train: $(VENV)/.installed-training ## RECIPE=name FACES=folder: train by a recipe
	@$(RUN) -m training fit $(ARGS) -- "$$RECIPE" "$$FACES"

test: $(VENV)/.installed-dev ## run the tests (those that need DATA skip without it)
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n auto --maxprocesses 4 --dist loadscope $(if $(DATA),--data "$$DATA") $(ARGS)

check: $(VENV)/.installed-dev ## formatting, lint, types, import layers, docs
	@$(RUN) -m ruff format --check --quiet .
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m mypy
	@$(VENV)/bin/lint-imports
	@$(RUN) -m pytest -q tests/test_readme.py

format: $(VENV)/.installed-dev ## format the code
	@$(RUN) -m ruff check --quiet --fix .
	@$(RUN) -m ruff format --quiet .

needs-bench-lfw := DATA=folder
bench-lfw: $(VENV)/.installed-training ## DATA=folder: verification on LFW's 6,000 pairs
	@$(RUN) -m training bench-lfw $(ARGS) -- "$$DATA"

needs-bench-clips := DATA=folder
bench-clips: $(VENV)/.installed-training ## DATA=folder: shots, people and names on labelled clips
	@$(RUN) -m training bench-clips $(ARGS) -- "$$DATA"

needs-bench-tracks := DATA=folder
bench-tracks: $(VENV)/.installed-training ## DATA=folder: SSiam and TSiam on synthetic episodes
	@$(RUN) -m training bench-tracks $(ARGS) -- "$$DATA"

needs-bench-identity := DATA=folder
bench-identity: $(VENV)/.installed-training ## DATA=folder: names and people on synthetic seasons
	@$(RUN) -m training bench-identity $(ARGS) -- "$$DATA"

needs-bench := DATA=folder
bench: $(VENV)/.installed-dev ## DATA=folder: speed and memory, against other tools and targets
	@$(RUN) -m training bench $(ARGS) -- "$$DATA"

needs-stills := IMAGES=folder
stills: $(VENV)/.installed-training ## IMAGES=folder: say who is in still pictures, by a HEAD from RECIPE=stills
	@$(RUN) -m training predict --head "$$HEAD" --out outputs/stills $(ARGS) -- "$$IMAGES"

clean: ## remove .venv and caches (the library stays)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

# Before anything is installed: what the goals need, `needs-` each, is there.
need = $(if $($(1)),,$(error $(1): is not given (make $(2) $(needs-$(2)))))
$(foreach goal,$(MAKECMDGOALS),$(foreach one,$(needs-$(goal)),$(call need,$(firstword $(subst =, ,$(one))),$(goal))))

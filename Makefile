# Every target sets up .venv by itself the first time; after that it starts at once.

PYTHON  ?= python3
LIBRARY ?= outputs
HEAD    ?= outputs/stills.safetensors
VENV    := .venv
RUN     := $(VENV)/bin/python
PIP     := $(RUN) -m pip --disable-pip-version-check
ARGS    ?=
# By itself: it asks for opencv-python, whose files are those of the headless wheel.
TRACKEVAL = $(PIP) install --quiet --constraint constraints.txt --no-deps trackeval

need = $(if $($(1)),,$(error $(1): is not given ($(2))))

.DEFAULT_GOAL := help
.PHONY: help setup train index enroll query people export demo test check format bench bench-lfw bench-clips bench-tracks bench-identity stills clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

# The stamps are files, so that make sees when what they depend on has changed.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON): is older than Python 3.11 (install a newer one, or make PYTHON=python3.12)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	$(TRACKEVAL)
	@touch $(VENV)/.installed $(VENV)/.installed-training $@

$(VENV)/.installed-training: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet --constraint constraints.txt --editable '.[training]'
	$(TRACKEVAL)
	@touch $(VENV)/.installed $@

setup: $(VENV)/.installed ## install what the indexer needs into .venv

# Names come through the environment, so that the shell takes nothing in them for its own. VIDEO
# is one file, or several without spaces in their names, or a pattern.
export LIBRARY HEAD

index: $(VENV)/.installed ## VIDEO="ep.mp4 ...": put videos into the library
	$(call need,VIDEO,make index VIDEO=ep.mp4)
	@set -- "$$VIDEO"; test -e "$$VIDEO" || set -- $$VIDEO; \
	  $(RUN) -m indexer index --library "$$LIBRARY" $(ARGS) -- "$$@"

enroll: $(VENV)/.installed ## FACES=folder: name people by a folder of stills for each
	$(call need,FACES,make enroll FACES=folder)
	@$(RUN) -m indexer enroll --library "$$LIBRARY" $(ARGS) -- "$$FACES"

query: $(VENV)/.installed ## CHARACTER=name: list the scenes of a character, best first
	$(call need,CHARACTER,make query CHARACTER=Ann)
	@$(RUN) -m indexer query --library "$$LIBRARY" $(ARGS) --character="$$CHARACTER"

people: $(VENV)/.installed ## list everybody by screen time
	@$(RUN) -m indexer people --library "$$LIBRARY" $(ARGS)

export: $(VENV)/.installed ## EPISODE=name: print the per-frame timeline as JSON
	$(call need,EPISODE,make export EPISODE=ep)
	@$(RUN) -m indexer export --library "$$LIBRARY" $(ARGS) -- "$$EPISODE"

demo: $(VENV)/.installed-training ## make an episode, enrol its cast, index and query it
	@$(RUN) -m training demo outputs/demo

train: $(VENV)/.installed-training ## RECIPE=name FACES=folder: train by a recipe
	$(call need,RECIPE,make train RECIPE=siamese FACES=folder)
	$(call need,FACES,make train RECIPE=siamese FACES=folder)
	@$(RUN) -m training fit $(ARGS) -- "$$RECIPE" "$$FACES"

test: $(VENV)/.installed-dev ## run the tests (those that need DATA skip without it)
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -q -n auto --maxprocesses 4 --dist loadscope $(if $(DATA),--data "$$DATA") $(ARGS)

check: $(VENV)/.installed-dev ## formatting, lint, types, import layers, docs
	@$(RUN) -m ruff format --check --quiet .
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m mypy
	@$(VENV)/bin/lint-imports
	@$(RUN) -m pytest -q tests/test_readme.py

format: $(VENV)/.installed-dev ## put the code into shape
	@$(RUN) -m ruff check --quiet --fix .
	@$(RUN) -m ruff format --quiet .

bench-lfw: $(VENV)/.installed-training ## DATA=folder: verification on LFW's 6,000 pairs
	$(call need,DATA,make bench-lfw DATA=folder)
	@$(RUN) -m training bench-lfw $(ARGS) -- "$$DATA"

bench-clips: $(VENV)/.installed-training ## DATA=folder: shots, people and names on labelled clips
	$(call need,DATA,make bench-clips DATA=folder)
	@$(RUN) -m training bench-clips -- "$$DATA"

bench-tracks: $(VENV)/.installed-training ## DATA=folder: SSiam and TSiam on made episodes
	$(call need,DATA,make bench-tracks DATA=folder)
	@$(RUN) -m training bench-tracks $(ARGS) -- "$$DATA"

bench-identity: $(VENV)/.installed-training ## DATA=folder: names and people on made seasons
	$(call need,DATA,make bench-identity DATA=folder)
	@$(RUN) -m training bench-identity $(ARGS) -- "$$DATA"

bench: $(VENV)/.installed-dev ## DATA=folder: speed and memory, against peers and limits
	$(call need,DATA,make bench DATA=folder)
	@$(RUN) -m training bench -- "$$DATA"

stills: $(VENV)/.installed-training ## IMAGES=folder: say who is in still pictures, by the HEAD of fit-stills
	$(call need,IMAGES,make stills IMAGES=folder)
	@$(RUN) -m training predict --head "$$HEAD" --out outputs/stills $(ARGS) -- "$$IMAGES"

clean: ## remove .venv and caches (the library stays)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

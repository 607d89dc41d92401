# The two commands: `make run` (the course on the bundled sample) and `make test` (unit tests and notebooks).
# Both set up .venv first, which takes minutes once and nothing afterwards.
VENV ?= .venv
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export NO_ALBUMENTATIONS_UPDATE := 1
# The course runs without a download; HF_HUB_OFFLINE=0 lets notebook 01 fetch the published models (about 1 GB).
export HF_HUB_OFFLINE ?= 1

.PHONY: help run test test-slow test-gpu rehearse bench bench-gpu lint format lab notebooks readme site sample kaggle clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): requirements.txt requirements-dev.txt constraints.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "depthkit needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "==> Setting up $(VENV) with $(PYTHON) (once; PyTorch is large, so this takes some minutes) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet -c constraints.txt -r requirements.txt -r requirements-dev.txt
	@# The authors' own code, which tests compare with; its dependencies (gradio, a second OpenCV) are not needed.
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e . jkp-depth-anything-v2==0.1.1
	@touch $@
	@echo "==> $(VENV) is ready."

run: $(READY)  ## run the course on the bundled sample; a site to read lands in build/course/site
	@$(BIN)/python tools/run_course.py

notebooks: $(READY)  ## execute the notebooks in place, as they are committed
	@$(BIN)/python tools/run_course.py --in-place

site: $(READY)  ## build the site from the notebooks as they are committed, in build/site
	@$(BIN)/python tools/build_site.py

readme: $(READY)  ## take the tables and figures of README.md and docs/ from the notebooks
	@$(BIN)/python tools/readme_results.py

test: $(READY)  ## unit tests, then the notebooks through nbmake
	@echo "==> Unit tests ..."
	@# A file's tests share what they made, so that a file stays together; one thread each, or processes wait for one another.
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not gpu" -n auto --dist loadfile tests
	@echo "==> Notebooks through nbmake, with 2 epochs instead of 6: that they run is tested here, not how good it gets ..."
	@# 04 trains in two processes; 05 and 06 read what it left. The others keep to one core, and run side by side.
	@export DEPTHKIT_RUNS="$$(mktemp -d)" DEPTHKIT_RECIPE=epochs=2; trap 'rm -rf "$$DEPTHKIT_RUNS"' EXIT; nbmake() { $(BIN)/python -m pytest --nbmake --nbmake-timeout=600 "$$@"; }; \
		OMP_NUM_THREADS=1 nbmake -n 2 notebooks/0[123]* && nbmake notebooks/04* && OMP_NUM_THREADS=1 nbmake -n 2 notebooks/0[56]*

test-slow: $(READY)  ## the tests that take minutes
	@$(BIN)/python -m pytest -m slow tests

test-gpu: $(READY)  ## the tests that need a GPU
	@$(BIN)/python -m pytest -m gpu tests

# The versions of one of Kaggle's images, in an environment of its own: tools/images lists them.
IMAGE_PYTHON = $(if $(filter summer2026,$(IMAGE)),python3.12,python3.13)
.venv-$(IMAGE)/.ready: tools/images/$(IMAGE).txt
	@echo "==> Setting up $(@D) with $(IMAGE_PYTHON) (once; some minutes) ..."
	@$(IMAGE_PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet -r $<
	@$(@D)/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

rehearse: $(if $(IMAGE),.venv-$(IMAGE)/.ready,$(READY))  ## run the Kaggle bundle as on Kaggle, offline (Linux; IMAGE=summer2026 or autumn2026: its versions)
	@$(<D)/bin/python tools/rehearse_kaggle.py

bench: $(READY)  ## depthkit beside the article's recipe and the authors' code: eight minutes, writes results.md and tried.md in benchmarks/
	@$(BIN)/python -m benchmarks --write
	@$(BIN)/python -m benchmarks.tried --write

bench-gpu: $(READY)  ## the same on a GPU: some minutes, writes benchmarks/gpu.md
	@$(BIN)/python -m benchmarks.gpu --write

lint: $(READY)  ## style, import directions, types, notebooks and links; says nothing when all is well
	@mkdir -p build
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-cache > build/imports.txt || { cat build/imports.txt; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/python tools/check_tree.py
	@$(BIN)/python tools/readme_results.py --check

format: $(READY)  ## let ruff fix and format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lab: $(READY)  ## open the course in JupyterLab
	@$(BIN)/jupyter lab notebooks

sample: $(READY)  ## maintainers: render the bundled sample again, about 40 minutes (see tools/renderer/README.md)
	@test -x .venv-render/bin/python || { python3.11 -m venv .venv-render && .venv-render/bin/pip install --quiet -r tools/renderer/requirements.txt; }
	.venv-render/bin/python tools/renderer/check_renderer.py
	for set in rooms halls teaching "more --size 320x240 --samples 4 --count 436"; do .venv-render/bin/python tools/renderer/render.py $$set --out build/raw || exit 1; done
	$(BIN)/python tools/build_sample.py --raw build/raw

kaggle: $(READY)  ## lay out build/kaggle to upload: make kaggle KAGGLE_USER=name (NYU=owner/slug for another copy of NYU)
	@test -n "$(KAGGLE_USER)" || { echo "name your account on Kaggle: make kaggle KAGGLE_USER=name"; exit 1; }
	@$(BIN)/python tools/kaggle_bundle.py --user "$(KAGGLE_USER)" --nyu "$(NYU)"

clean:  ## remove build products (not .venv, not runs)
	rm -rf build .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache *.egg-info

# Two commands for everybody: `make run` and `make test`. Each sets up what it needs in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
# The locks are whole, so nothing is resolved anew while they are installed.
LOCKED := $(PIP) --no-deps
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --no-header --no-annotate --universal --python-version 3.11 $(if $(UPGRADE),$(addprefix -P ,$(UPGRADE)))
export FOOTNOTE_DATA_DIR ?= data

.PHONY: help run test check bench faults fuzz llama lock up down clean

help:
	@echo "make run    set up and start the service with the sample corpus"
	@echo "make test   set up and run the tests"
	@echo "make check  the gates: format, lint, types, imports"
	@echo "make bench  every benchmark (reads DATA=../shared/data)"
	@echo "make faults the long rounds of kills and races"
	@echo "make fuzz   the long round of requests that the OpenAPI document allows, and others (EXAMPLES=100)"
	@echo "make llama  llama.cpp in .venv, and its server for the tests (a C++ compiler and some minutes)"
	@echo "make up     production mode on this machine by Docker (make down ends it); docs/operations.md"
	@echo "make lock   resolve requirements/*.txt anew from pyproject.toml (UPGRADE=\"NAME ...\" takes newer ones of these)"

$(VENV)/.run: requirements/run.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(LOCKED) -r requirements/run.txt
	$(LOCKED) --no-build-isolation --editable .
	@touch $@

# Other sentence-transformers models need torch; only a CPU build is ever installed. Where none can be had, the tests of
# those models are skipped, and say so.
$(VENV)/.dev: $(VENV)/.run requirements/dev.txt requirements/models.txt
	$(LOCKED) -r requirements/dev.txt
	if $(PIP) 'torch==2.13.0+cpu'; \
	then $(LOCKED) -r requirements/models.txt; \
	else echo "no CPU build of torch 2.13.0 here: tests of other models will be skipped"; fi
	@touch $@

# llama.cpp in the process, and its own server, which tests speak to: both from the source that llama-cpp-python carries, built
# once: the package compiles nothing and is given the server's libraries. It is optimised little, which halves the time: for a
# model of more than a test's size, install the extra `llama` by pip, which builds for speed.
LLAMA := $(VENV)-llama
LLAMA_OPTIONS := -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE="-O1 -DNDEBUG -w" -DCMAKE_CXX_FLAGS_RELEASE="-O1 -DNDEBUG -w" \
  -DBUILD_SHARED_LIBS=ON -DCMAKE_INSTALL_RPATH='$$ORIGIN' -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON \
  -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF \
  -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF -DGGML_LLAMAFILE=OFF -DGGML_CCACHE=OFF
llama: $(LLAMA)/.done

$(LLAMA)/.done: requirements/llama.txt | $(VENV)/.dev
	@command -v c++ >/dev/null || { echo "no C++ compiler here: llama.cpp can't be built"; exit 1; }
	rm -rf $(LLAMA)
	mkdir -p $(LLAMA)/source
	$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --no-binary llama-cpp-python --dest $(LLAMA) \
	  "$$(grep '^llama-cpp-python==' requirements/llama.txt)"
	tar -xzf $(LLAMA)/llama_cpp_python-*.tar.gz -C $(LLAMA)/source --strip-components=1
	command -v cmake >/dev/null || $(PIP) cmake
	PATH="$(abspath $(BIN)):$$PATH"; \
	cmake -S $(LLAMA)/source/vendor/llama.cpp -B $(LLAMA)/build $(LLAMA_OPTIONS) >/dev/null && \
	cmake --build $(LLAMA)/build --target llama-server --parallel $(or $(JOBS),2) >/dev/null
	$(LOCKED) --config-settings=cmake.define.LLAMA_BUILD=OFF $(LLAMA)/source
	$(LOCKED) -r requirements/llama.txt
	lib="$$($(BIN)/python -c 'import importlib.util as u; print(*u.find_spec("llama_cpp").submodule_search_locations)')/lib"; \
	mkdir -p "$$lib" && cp -P $(LLAMA)/build/bin/*.so* "$$lib"
	mv $(LLAMA)/build/bin $(LLAMA)/bin
	rm -rf $(LLAMA)/source $(LLAMA)/build $(LLAMA)/*.tar.gz
	@touch $@

# LiteLLM's proxy, for its tests alone: it pins what we have in other versions, so it has an environment of its own.
$(VENV)-litellm/.done: requirements/litellm.txt
	$(PYTHON) -m venv $(VENV)-litellm
	$(VENV)-litellm/bin/pip install --quiet --disable-pip-version-check --no-deps -r requirements/litellm.txt
	@touch $@

run: $(VENV)/.run
	@test -e "$$FOOTNOTE_DATA_DIR/.sample" || \
	{ $(BIN)/footnote ingest samples && touch "$$FOOTNOTE_DATA_DIR/.sample"; }
	@exec $(BIN)/footnote serve

# Much of the tests' time is waiting for processes. The long files come first, so that no process is left with one at the end.
test: $(VENV)/.dev
	$(BIN)/pytest --numprocesses $(or $(PROCESSES),3) --dist loadfile --no-loadscope-reorder

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.all $(if $(DATA),--data $(DATA))

faults: $(VENV)/.dev
	FOOTNOTE_FAULT_ROUNDS=long $(BIN)/pytest tests/faults tests/integration/test_broker_faults.py \
	  tests/integration/test_archive_production.py --timeout 3600

# Every example of POST /v1/backup is a backup, so this needs more time than one test has.
fuzz: $(VENV)/.dev
	FOOTNOTE_FUZZ_EXAMPLES=$(or $(EXAMPLES),100) $(BIN)/pytest tests/integration/test_openapi_fuzz.py --timeout 3600

lock:
	$(PIP) uv==0.13.9
	$(COMPILE) --override requirements/overrides.txt -o requirements/run.txt
	$(COMPILE) --override requirements/overrides.txt --extra production -c requirements/run.txt -o requirements/production.txt
	$(COMPILE) --override requirements/overrides.txt --extra production --extra providers \
	  -c requirements/production.txt -o requirements/providers.txt
	$(COMPILE) --override requirements/overrides.txt --extra llama -c requirements/providers.txt -o requirements/llama.txt
	$(COMPILE) --override requirements/overrides.txt --extra dev -c requirements/providers.txt -o requirements/dev.txt
	$(COMPILE) --override requirements/overrides-models.txt --extra dev --extra models \
	  -c requirements/dev.txt -o requirements/models.txt
	$(BIN)/uv pip compile requirements/litellm.in --quiet --no-header --no-annotate --universal --python-version 3.11 \
	  $(if $(UPGRADE),$(addprefix -P ,$(UPGRADE))) -o requirements/litellm.txt

up:
	docker compose up --build --detach --wait

down:
	docker compose down

clean:
	rm -rf $(VENV) $(VENV)-llama $(VENV)-litellm build *.egg-info

# The entry point. `make demo` and `make test` each work as the only command on a fresh clone.
BIN := .venv/bin
TEST := $(BIN)/pytest -q
# A test that takes longer than 10 minutes has hung: its process shows where all threads are, and the test fails.
NO_HANG := -o faulthandler_timeout=600 -o faulthandler_exit_on_timeout=true --max-worker-restart=0
# Keep Python's compiled files: otherwise each process that tests start would compile the modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: venv kernels servers browser sandbox demo check format docs site test test-long trust trust-long bench dist lock clean

venv: .venv/.complete

.venv/.complete: requirements.lock pyproject.toml tools/venv.sh
	sh tools/venv.sh

kernels: venv ## compile and install the C versions of functions that process every byte; optional, results are the same without
	@sh tools/kernels.sh

servers: ## install the servers that tests start, if missing (Debian packages and npm)
	@sh tools/servers.sh
	@sh tools/npm.sh tests/servers/azurite

browser: ## install Chromium, in which tests check pages, if missing (Debian package)
	@sh tools/browser.sh

sandbox: ## install bubblewrap, in which tests run sandboxes, if missing (Debian package)
	@sh tools/sandbox.sh

demo: venv ## a real data set: compile, run twice, verify; edit the plan and see it rejected
	rm -rf demo-project
	$(BIN)/osiris demo demo-project
	@echo "osiris is not on the PATH yet: run 'source .venv/bin/activate' first"

check: venv ## check format, lint, types, imports, generated pages, line budgets, words
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/docs.py --check
	$(BIN)/python tools/rooms.py
	$(BIN)/python tools/words.py names texts

format: venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: venv ## write the generated pages of docs/reference and docs/errors
	$(BIN)/python tools/docs.py
	$(BIN)/python tools/docs.py reference/types.md
	$(BIN)/python tools/docs.py reference/server-types.md

site: venv ## build the documentation as a site in site/; pages can be read and searched without a server or a network
	@sh tools/npm.sh tools/site
	$(BIN)/zensical build --clean --strict
	cp tools/site/node_modules/iframe-worker/shim/index.js site/assets/javascripts/iframe-worker.js

test: venv kernels servers browser sandbox ## the faster tests, with small N and a sample of the cases and seeds: the same in every run
	$(TEST) -n 2 --dist loadfile --no-loadscope-reorder --sample -m "not long and not bench and not trust" $(NO_HANG)

test-long: venv kernels servers browser sandbox ## all tests and cases, with large N; commands run through the console script
	$(TEST) --installed -m "not bench"

trust: venv kernels servers browser sandbox ## reliability tests with small N; writes RELIABILITY.md
	$(BIN)/python -m bench.trust

trust-long: venv kernels servers browser sandbox ## reliability tests with large N; takes hours
	$(BIN)/python -m bench.trust --long

bench: venv kernels servers browser sandbox ## all figures; only here times are asserted, as ratios of medians in one run
	$(TEST) -m bench
	$(BIN)/python -m bench

dist: venv ## wheel, source distribution, locked requirements and SBOM in dist/: the same bytes everywhere
	$(BIN)/python tools/dist.py

lock: ## update requirements.lock and the sandbox lock (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		--extra dev --upgrade --quiet pyproject.toml --output-file requirements.lock
	$(BIN)/python tools/lock.py

clean:
	rm -rf .venv* demo-project dist site bench/data

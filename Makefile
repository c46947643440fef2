# Everything that a developer or CI calls. `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := $(VENV)/.demo
# One process more than two cores have: tests wait a fifth of their time, for servers and for what they started.
PROCESSES ?= 3
TEST = $(BIN)/pytest -q -n $(PROCESSES) --dist loadfile --no-loadscope-reorder
# What fits nothing large and starts no processes to speak of.
FAST := $(addprefix tests/,chat compute config core data docs feedback metrics monitor project registry results security serve train web)
SOURCES := src tests benchmarks conftest.py

.PHONY: $(shell sed -n 's/^\([a-z -]*\):.*/\1/p' $(firstword $(MAKEFILE_LIST)))

# Modules are compiled once and not by every process that a test starts.
export PYTHONDONTWRITEBYTECODE =

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

# The environment is made anew for another PYTHON, if one is named, and after an installation that was killed: only then
# is .begun still there.
THIS = import sys; print("%d.%d" % sys.version_info[:2], sys.base_prefix)
ANEW := $(wildcard $(VENV)/.begun)
ifneq ($(filter command environment,$(origin PYTHON)),)
ifneq ($(shell "$(PYTHON)" -c '$(THIS)' 2>&1),$(shell cat $(VENV)/.made 2>/dev/null))
ANEW := yes
endif
endif
ifneq ($(ANEW),)
.PHONY: $(VENV)/.made
endif

# Stamps are written last.
$(VENV)/.made:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "bakeoff needs Python 3.11 or newer; $(PYTHON) is $$("$(PYTHON)" --version 2>&1). Name another: make PYTHON=python3.12"; exit 1; }
	@echo "making $(VENV) with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv --clear $(VENV)
	@"$(PYTHON)" -c '$(THIS)' > $@

# Versions are those of requirements.lock, without its hashes: pip takes no hashes beside a folder that is being edited.
$(VENV)/pins.txt: requirements.lock $(VENV)/.made
	@sed -n 's/ *\\$$//; /^[a-zA-Z0-9]/p' requirements.lock > $@

# Modules are compiled when they are first imported: most of them never are.
PIP = $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c $(VENV)/pins.txt -e
INSTALL = @install() { touch $(VENV)/.begun; $(PIP) "$$1"; done=$$?; rm $(VENV)/.begun; return $$done; }; install

# What the demos without language models need; the rest, torch among it, comes with `make install`.
$(DEMO): $(VENV)/pins.txt pyproject.toml
	@echo "installing what the demos need"
	$(INSTALL) '.[embedding,sql]'
	@touch $@

# After the demos' part, not beside it (make -j).
$(INSTALLED): $(DEMO)
	@echo "installing the rest: language models, checkers"
	$(INSTALL) '.[chat,embedding,llm,nlp,tabicl,text,report,sql,postgres,tracking,dev]'
	@touch $@

install dev: $(INSTALLED)  ## Make the whole virtual environment from pinned versions, with what tests need

demo: $(DEMO)  ## The whole loop on movie reviews
	$(BIN)/bakeoff demo reviews

demo-flights: $(DEMO)  ## The whole loop on flights, month by month
	$(BIN)/bakeoff demo flights

test: $(INSTALLED)  ## Run the tests
	$(TEST)

test-fast: $(INSTALLED)  ## Run the unit tests: an answer within 90 s
	$(TEST) -m "not slow and not real" $(FAST)

test-thorough: $(INSTALLED)  ## Run the tests, those of properties with forty times the examples
	HYPOTHESIS_PROFILE=thorough $(TEST)

test-cluster: $(INSTALLED)  ## Two nodes of Ray, of which one is killed: a bake-off, a corpus, a fine-tuning
	for each in bake_off corpus fine_tuning together not_there desk; do \
		BAKEOFF_CLUSTER=1 $(BIN)/pytest -q tests/compute/test_ray_nodes.py -k $$each || exit 1; done

check: $(INSTALLED) lint types layers collected test  ## All that CI checks

lint: $(INSTALLED)  ## Formatting and lint
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)

types: $(INSTALLED)  ## Types, strictly
	$(BIN)/pyright

layers: $(INSTALLED)  ## The import layers
	$(BIN)/lint-imports

collected: $(INSTALLED)  ## Tests are the same ones in every process
	tools/collected

docs: $(INSTALLED)  ## The documentation as a site, in build/site
	$(PIP) '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(BIN)/python tools/llms.py build/site
	@echo "build/site/index.html"

format: $(INSTALLED)  ## Format the sources
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix --quiet $(SOURCES)

bench-first-run: $(INSTALLED)  ## A first run on few rows, the reviews demo, 77 classes of texts: by the clock, of processor time, by phase (PARTS=numbers)
	$(BIN)/python benchmarks/first_run.py $(PARTS)

bench-evaluate: $(INSTALLED)  ## Bootstrap speed against a scikit-learn loop
	$(BIN)/python benchmarks/evaluate.py

bench-finetune: $(INSTALLED)  ## Fine-tuning against transformers' Trainer with peft; scoring of labels
	$(BIN)/python benchmarks/finetune.py

bench-resume: $(INSTALLED)  ## Fine-tuning killed at random moments, against the same left alone
	$(BIN)/python benchmarks/resume.py

KILLS ?= 1 2 3 4 5 6 7 8 9 10
bench-nodes: $(INSTALLED)  ## A bake-off on two nodes, one killed at ten random moments (KILLS="1 2"); fits on eight nodes; a corpus on one and on two, and by Ray Data (PARTS="schedule here one two stage data", DOCUMENTS=400000)
	for each in $(KILLS); do BAKEOFF_CLUSTER=1 BAKEOFF_KILL_SEED=$$each BAKEOFF_KILL_S=8 \
		$(BIN)/pytest -q tests/compute/test_ray_nodes.py -k bake_off || exit 1; done
	$(BIN)/python benchmarks/nodes.py $(if $(PARTS),--parts $(PARTS)) $(if $(DOCUMENTS),--documents $(DOCUMENTS))

bench-hosts: $(INSTALLED)  ## Four hosts run, serve, label and retrain in one project on PostgreSQL and S3 for ten minutes (SECONDS=60)
	BAKEOFF_HOSTS_S=$(or $(SECONDS),600) $(BIN)/pytest -q tests/project/test_hosts_for_minutes.py

bench-llm-serving: $(INSTALLED)  ## Tokens a second against llama.cpp's own server and transformers
	$(BIN)/python benchmarks/llm_serving.py

bench-serving: $(INSTALLED)  ## Requests a second and latencies beside mlflow, BentoML, LitServe, Ray Serve and the bare framework
	$(BIN)/python benchmarks/serving.py

bench-auth: $(INSTALLED)  ## Requests a second and latency with tokens and without, in turns
	$(BIN)/python benchmarks/auth_cost.py

bench-gateway: $(INSTALLED)  ## What a gateway adds to a call of a service, LiteLLM beside it
	$(BIN)/python benchmarks/gateway.py

bench-encryption: $(INSTALLED)  ## What encryption of blobs and events costs
	$(BIN)/python benchmarks/encryption.py

bench-overload: $(INSTALLED)  ## Three times the load that can be answered
	$(BIN)/python benchmarks/overload.py

bench-restarts: $(INSTALLED)  ## 50 rolling restarts under 30 callers: FOLDER=a project of numbers with a release
	$(BIN)/python benchmarks/restarts.py $(FOLDER)

bench-plan: $(INSTALLED)  ## What bakeoff plan predicts, beside what a separate load run measures (FOLDER=a project with a release)
	$(BIN)/python benchmarks/plan.py $(if $(FOLDER),--folder $(FOLDER))

tour: $(INSTALLED)  ## The tour of docs/language-models.md: one question set, four ways
	$(BIN)/python benchmarks/tour.py

bench-served-as-trained: $(INSTALLED)  ## 100 trials of each way to serve a model otherwise than it was trained
	$(BIN)/python -P benchmarks/served_as_trained.py

bench-round-trip: $(INSTALLED)  ## 300 conversations: the same tokens in training, evaluation and serving
	$(BIN)/python -P benchmarks/round_trip.py

bench-candidates: $(INSTALLED)  ## The default run beside AutoGluon and FLAML on 29 public sets (half an hour; BUDGET=300: two and a half hours)
	$(BIN)/python benchmarks/candidates.py --budget $(or $(BUDGET),60)

bench-features: $(INSTALLED)  ## Earlier values of inputs and a log link on nine public sets that are ordered by time
	$(BIN)/python benchmarks/features.py

bench-tracking: $(INSTALLED)  ## bakeoff ui beside mlflow server and trackio (half an hour; SCALE=0.1 for a tenth of all sizes)
	$(BIN)/python benchmarks/tracking.py

screenshots: $(INSTALLED)  ## The screenshots of docs/pages.md again, of the demo's project (after make demo; some minutes)
	$(BIN)/python tools/screenshots.py

bench-pages: $(INSTALLED)  ## The pages of bakeoff ui on 100,000 runs, and beside MLflow's UI (ten minutes; SCALE=0.1 for a tenth; PARTS="runs traces" of runs, compare, traces, idle, look, beside)
	$(BIN)/python benchmarks/pages.py $(if $(PARTS),--parts $(PARTS))

bench-tracking-kills: $(INSTALLED)  ## bakeoff ui killed 50 times while 16 clients write: nothing acknowledged is missing (RECORDS=postgresql://... for another store)
	$(BIN)/python tests/web/tracking/kills.py 50 $(RECORDS)

fuzz-tracking: $(INSTALLED)  ## 10,000 malformed requests to bakeoff ui, and ways out of the artifacts' folder
	$(BIN)/python tests/web/tracking/fuzz.py 10000

fuzz-roles: $(INSTALLED)  ## 1,000 malformed requests of each role to bakeoff ui and bakeoff serve: no 5xx, and nothing that the role may not
	$(BIN)/python -m tests.web.fuzz_roles 1000

bench-unknown-and-forbidden: $(INSTALLED)  ## Whether the time of an answer tells what is another team's from what is not there
	$(BIN)/python -m benchmarks.unknown_and_forbidden

bench-versions: $(INSTALLED)  ## Snapshots, checkouts and status beside DVC and Oxen (twenty minutes; SCALE=0.1 for a tenth of all sizes)
	$(BIN)/python benchmarks/versions.py

bench-versions-damage: $(INSTALLED)  ## 1,000 flips and cuts in a store, each named and never served; 200 writers killed, and nothing acknowledged is lost
	$(BIN)/python tests/stores/damage.py 1000 200

bench-lineage: $(INSTALLED)  ## From a prediction to data, code and environment, with a million predictions in the log
	$(BIN)/python benchmarks/lineage.py

bench-data: $(INSTALLED)  ## Preparing real documents, against datatrove and a plain script
	$(BIN)/python benchmarks/data.py

bench-text-quality: $(INSTALLED)  ## Personal data, duplicates, languages, HTML beside Presidio, detect-secrets and others
	$(BIN)/python benchmarks/text_quality.py

bench-streams: $(INSTALLED)  ## 500 generated streams: sums, keys and rows in = out + told
	$(BIN)/python benchmarks/streams.py

bench-review: $(INSTALLED)  ## Labels from the review queue beside random ones, after a shift from tweets to reviews and editorials
	$(BIN)/python benchmarks/review.py build/review
	$(BIN)/python benchmarks/review_picks.py build/review

bench-monitor: $(INSTALLED)  ## A drift report beside Evidently's; what a look costs as the log grows
	$(BIN)/python benchmarks/monitor.py

bench-monitor-alarms: $(INSTALLED)  ## False alarms of drift in weeks without any, and how soon shifts are seen (EVIDENTLY=python, NANNYML=python beside)
	$(BIN)/python benchmarks/monitor_alarms.py $(if $(EVIDENTLY),--evidently $(EVIDENTLY)) $(if $(NANNYML),--nannyml $(NANNYML))

bench-monitor-daily-alarms: $(INSTALLED)  ## False alarms of what is worked out once a day: rows jointly, what texts are about, languages
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/monitor_daily_alarms.py

bench-monitor-domains: $(INSTALLED)  ## A sentiment model of tweets serves films, products and news: is it seen, is quality foreseen?
	$(BIN)/python benchmarks/monitor_domains.py

bench-loop: $(INSTALLED)  ## The loop's policy over the flights of 2013, as they were, with flipped labels, and with a relation that turns around
	$(BIN)/python benchmarks/loop.py

bench-rollouts: $(INSTALLED)  ## 10,000 canaries as good as the live release, bad ones of seven kinds, 50 rollouts under 30 clients
	$(BIN)/python benchmarks/rollouts.py

bench-stream-damage: $(INSTALLED)  ## Streams killed at random moments, without room, and two at one output
	$(BIN)/python benchmarks/stream_damage.py

bench-contracts: $(INSTALLED)  ## False alarms of inferred contracts on honest rows, and planted faults caught
	$(BIN)/python benchmarks/contracts.py

bench-statistics: $(INSTALLED)  ## How often intervals, verdicts and gates hold where the truth is known
	$(BIN)/python benchmarks/simulate.py --jobs 2

bench-statistics-peers: $(INSTALLED)  ## Intervals and p-values beside MLflow, evalstats and scipy
	$(BIN)/python benchmarks/statistics_peers.py

study-encoders: $(INSTALLED)  ## Fine-tuned encoders against prompted models on four sets of texts (an hour)
	$(BIN)/python benchmarks/encoders_and_prompts.py

clean:  ## Remove the virtual environment and what tools leave
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache .hypothesis build

# Every target is one word of `lab`; `lab --help` (.venv/bin/python -m lab --help) is the complete interface.
# A variable on the line is a setting of the same name: make overnight TAG=nov23 HOURS=8

LAB := .venv/bin/python -m lab
SETTINGS := TAG HOURS EXPERIMENTS AGENT SCRIPT PROFILE SEED NOISE_RUNS BPB_PER_LINE MOST_RERUNS \
    THROTTLED_SHARE COMMAND AGENT_IMAGE PATIENCE_S MODEL BASE_URL KEY_FILE EFFORT PRICES TOOLS USD TOKENS LOOKAHEAD \
    PROMPT_TOKENS ANSWER_TOKENS STRATEGY ABLATE_EVERY \
    VARIANT KERNELS BASE HUB_MIRROR PARQUET SHARDS CPUS PROGRAM TRAIN_FILE INSTALL_ENGINE

# Only what stands on the make line: a TAG or PROFILE that happens to be in the environment means nothing here.
$(foreach name,$(SETTINGS),$(if $(filter command,$(firstword $(origin $(name)))),\
    $(eval export NIGHTLAB_$(name) := $($(name)))))

.PHONY: help overnight smoke status watch audit noise bundle verify replay compare \
    doctor image data test attacks bench report show diff log import dashboard team
.DEFAULT_GOAL := help

help:
	@echo "make overnight   research by itself (HOURS=8 TAG=name EXPERIMENTS=n AGENT=offline PROFILE=cpu)"
	@echo "make smoke       the whole loop on a tiny budget, a few minutes"
	@echo "make status      show a campaign (TAG=name; the latest if not given)"
	@echo "make watch       attach to a campaign that runs, from another terminal (TAG=name)"
	@echo "make report      one page of a campaign to send, and a card to post (TAG=name OUTPUT=file.html)"
	@echo "make show        show an experiment (TAG=name N=7; the best if not given); make diff, make log likewise"
	@echo "make import      look at somebody's results.tsv beside your own (FILE=results.tsv TAG=name)"
	@echo "make audit       audit the best experiment blindly (TAG=name N=7 audits another)"
	@echo "make noise       measure how much seeds alone move the score here (FILE=train.py RUNS=5)"
	@echo "make replay      run the claim of another lab's bundle here (BUNDLE=file EXPERIMENT=7 RUNS=3)"
	@echo "make compare     put campaigns of several hosts side by side (OF='a.tar.zst b.tar.zst' OUTPUT=file.html)"
	@echo "make bundle      one file of a campaign that a stranger can check (TAG=name OUTPUT=file KEY=ssh-key WEIGHTS=1)"
	@echo "make verify      check a bundle (BUNDLE=file SIGNER=allowed-signers RESCORE=1)"
	@echo "make dashboard   all campaigns in a browser, as they happen (PORT=8378 HOST=address READ_ONLY=1 NAME=name)"
	@echo "make team        the same in a container, read-only and always there (HOST=address PORT=8378 NAME=name STOP=1)"
	@echo "make doctor      every precondition, with its state and its remedy"
	@echo "make image       build and freeze the image (VARIANT=cpu KERNELS=none)"
	@echo "make data        fetch and tokenise the data (PROFILE=cpu)"
	@echo "make test        all tests, with real containers"
	@echo "make attacks     every known cheat against the lab, as a table"
	@echo "make bench       all benchmarks; make bench-NAME runs one"

overnight smoke status watch doctor data test attacks bench: .venv/ready
	@$(LAB) $@

report: .venv/ready
	@$(LAB) report $(if $(OUTPUT),--output $(OUTPUT))

show diff log: .venv/ready
	@$(LAB) $@ $(N)

import: .venv/ready
	@$(LAB) import $(FILE)

audit: .venv/ready
	@$(LAB) audit $(N)

noise: .venv/ready
	@$(LAB) noise $(FILE) $(if $(RUNS),--runs $(RUNS))

replay: .venv/ready
	@$(LAB) replay $(BUNDLE) $(if $(EXPERIMENT),--experiment $(EXPERIMENT)) $(if $(RUNS),--runs $(RUNS))

compare: .venv/ready
	@$(LAB) compare $(OF) $(if $(OUTPUT),--output $(OUTPUT))

# Some shells export a HOST or a NAME of their own.
given = $(if $(filter command,$(firstword $(origin $(1)))),$($(1)))

dashboard: .venv/ready
	@$(LAB) dashboard $(if $(call given,HOST),--host $(HOST)) $(if $(call given,PORT),--port $(PORT)) \
		$(if $(call given,NAME),--name $(NAME)) $(if $(call given,READ_ONLY),--read-only)

team: .venv/ready
	@$(LAB) team $(if $(call given,HOST),--host $(HOST)) $(if $(call given,PORT),--port $(PORT)) \
		$(if $(call given,NAME),--name $(NAME)) $(if $(call given,USER),--user $(USER)) \
		$(if $(call given,STOP),--stop)

bundle: .venv/ready
	@$(LAB) bundle $(if $(OUTPUT),--output $(OUTPUT)) $(if $(KEY),--key $(KEY)) $(if $(WEIGHTS),--with-weights)

verify: .venv/ready
	@$(LAB) verify $(BUNDLE) $(if $(SIGNER),--signer $(SIGNER)) $(if $(RESCORE),--rescore)

image: .venv/ready
	@$(LAB) image build

bench-%: .venv/ready
	@$(LAB) bench $*

.venv/ready: requirements/host.lock requirements/venv.sh
	@sh requirements/venv.sh

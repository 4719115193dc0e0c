# The verbs of this project; .ci/run calls the same ones.
#   make demo    sets up what is missing, then proves the NodePort contract once on three nodes
#   make test    sets up what is missing, then runs the tests

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PACKAGES := debian-archive-keyring git iproute2 make mmdebstrap nftables openssh-client python3-nftables python3-venv shellcheck systemd-container wrk
VM_PACKAGES := dnsmasq-base e2fsprogs extlinux iptables libvirt-clients libvirt-daemon-system qemu-system-x86 qemu-utils socat vagrant vagrant-libvirt
BIN := .venv/bin

.PHONY: help box collection vm-packages vm-host vm-host-stop vm-test demo test check long bench setup packages clean

help:
	@sed -n 's/^#   //p' Makefile

demo: setup
	$(SUDO) $(BIN)/harness --lab demo run -f examples/web-app.yaml --destroy always

# Virtual machines first and alone: emulated processors that are short of CPU lose what a proof needs. Then files side
# by side, each with nodes of its own, one more than there are cores because many wait for time-outs.
test: setup vm-packages
	$(SUDO) $(BIN)/pytest tests/vm
	$(SUDO) $(BIN)/pytest -n $$(($$(nproc) + 1)) --dist loadfile --no-loadscope-reorder --ignore tests/vm

check: setup
	$(BIN)/pytest tests/test_house.py tests/unit tests/cases

long: setup
	$(SUDO) $(BIN)/pytest -m long

BOXES := bookworm
# make box BOXES="bookworm trixie bookworm:virtualbox"

box: setup vm-packages
	$(SUDO) $(BIN)/python -m harness.drivers.vagrant box $(BOXES)

vm-host: setup vm-packages
	$(SUDO) $(BIN)/python -m harness.drivers.vagrant host start

vm-host-stop:
	$(SUDO) $(BIN)/python -m harness.drivers.vagrant host stop

vm-test: setup vm-packages
	$(SUDO) $(BIN)/pytest -m vm tests/vm

vm-packages:
	@$(MAKE) --no-print-directory packages PACKAGES="$(VM_PACKAGES)"

collection: setup
	$(BIN)/python playbooks/collection/build.py build

bench: setup
	$(SUDO) $(BIN)/python -m benchmarks

setup: packages .venv/.installed

packages:
	@missing=""; for package in $(PACKAGES); do \
	  dpkg-query -W -f='$${db:Status-Abbrev}' $$package 2>/dev/null | grep -q '^ii' || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
	  echo "installing:$$missing"; \
	  $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

.venv/.installed: pyproject.toml constraints.txt
	@echo "installing the Python packages into .venv"
	@python3 -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	$(SUDO) rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache

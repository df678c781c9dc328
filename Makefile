# LCMS. `make help` lists the targets. All of them work on a fresh Debian machine
# with Go, git and make; what else they need is installed when it is missing.

GO      ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# The same for all that is built, so that it is compiled once, and does not depend on
# whether there is a C compiler and where the source is.
export CGO_ENABLED ?= 0
export GOFLAGS += -trimpath

# What builds and tests need of Debian, by purpose.
SNMP_PACKAGES  := snmpd snmptrapd snmp libsnmp-base smitools
LDAP_PACKAGES  := slapd ldap-utils
CGO_PACKAGES   := gcc libc6-dev
LAB_PACKAGES   := $(CGO_PACKAGES) user-mode-linux ipvsadm iproute2 kmod util-linux iptables curl $(SNMP_PACKAGES)
BENCH_PACKAGES := libsnmp-dev prometheus-snmp-exporter $(CGO_PACKAGES) $(SNMP_PACKAGES)

.NOTPARALLEL:
.PHONY: help build deps lint mib-check test unit lab-test soak demo lab-demo bench install clean

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## Build the commands into bin/.
	$(GO) build -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o bin/ ./cmd/...

deps: ## Install what tests need and is missing.
	scripts/apt-need $(LAB_PACKAGES) $(LDAP_PACKAGES) systemd
	@scripts/base-mibs >/dev/null

lint: ## Check format, vet, staticcheck, and the MIB.
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "run gofmt -w on:" $$unformatted; exit 1; }
	$(GO) vet -tags lab ./...
	$(GO) tool staticcheck -tags lab ./...
	@$(MAKE) --no-print-directory mib-check

# smilint exits with 0 in spite of warnings: clean is who prints nothing.
mib-check: ## Lint the MIB.
	@scripts/apt-need libsnmp-base smitools
	@dir=$$(scripts/base-mibs) && for mib in mibs/*.txt; do \
		echo "smilint -l 6 $$mib"; \
		found=$$(SMIPATH=$(CURDIR)/mibs:$$dir:/usr/share/snmp/mibs smilint -l 6 $$mib 2>&1) && [ -z "$$found" ] || { echo "$$found"; exit 1; }; \
	done

test: deps build lint unit lab-test ## Check and test everything.

# Never from the cache: it does not know of snmpd, smilint and the kernel. `make lint` has
# vetted.
unit: ## Run the tests that need no kernel with IPVS.
	CGO_ENABLED=1 $(GO) test -race -vet=off -count=1 -timeout 30m ./...

# The race detector does not run in the lab's kernel. The longest come first, so that what
# is left at the end is short.
lab-test: ## Run the tests on a real IPVS kernel.
	$(GO) test -vet=off -count=1 -timeout 60m -tags lab ./tests/lab/watch ./tests/lab/faults ./tests/lab/...

# Not for CI: an hour. A director in memory and its kill matrix without gaps, 40 minutes;
# beside it one with a directory, 20 minutes, then one on a real kernel, 20, and one whose
# weights follow load, 10. LCMS_SOAK=1h make soak is longer, LCMS_SEED repeats.
soak: export LCMS_SOAK ?= 20m
soak: ## Soak a director against a model: in memory, with a directory, on a real kernel.
	@scripts/apt-need $(LAB_PACKAGES) $(LDAP_PACKAGES)
	@scripts/base-mibs >/dev/null
	$(GO) test -count=1 -v -timeout 0 -tags soak ./tests/kill ./tests/directory ./tests/lab

demo: ## Show it on the in-memory kernel; Ctrl-C ends it.
	@scripts/apt-need $(SNMP_PACKAGES) $(LDAP_PACKAGES)
	@scripts/base-mibs >/dev/null
	@$(MAKE) --no-print-directory build
	@$(GO) build -buildvcs=false -o bin/ ./tests/demo/realserver
	@exec scripts/demo

lab-demo: ## Show it on a real IPVS kernel with real traffic.
	@scripts/apt-need $(LAB_PACKAGES)
	@scripts/base-mibs >/dev/null
	@$(MAKE) --no-print-directory build
	@exec scripts/lab-demo

bench: build ## Compare with other agents, side by side.
	@scripts/apt-need $(BENCH_PACKAGES) $(LDAP_PACKAGES)
	@scripts/base-mibs >/dev/null
	cd bench && $(GO) run . && $(GO) run ./poll
	$(GO) test -run - -bench FirstLoad -benchtime 5x ./ldapsync
	$(GO) test -run - -bench . -benchtime 500x ./tests/directory

# An existing configuration is kept. DESTDIR is for packages.
install: build ## Install subagent and monitor with units, MIB and snmpd drop-in.
	install -D -m 755 -t $(DESTDIR)/usr/bin bin/lcms-subagent bin/lcms-poller
	install -D -m 644 -t $(DESTDIR)/usr/share/snmp/mibs mibs/*.txt
	install -D -m 644 -t $(DESTDIR)/lib/systemd/system deploy/systemd/lcms-subagent.service deploy/systemd/lcms-poller.service
	install -D -m 644 deploy/systemd/lcms.sysusers $(DESTDIR)/usr/lib/sysusers.d/lcms.conf
	[ -e $(DESTDIR)/etc/lcms/lcms-poller.yaml ] || install -D -m 644 -t $(DESTDIR)/etc/lcms deploy/lcms/lcms-poller.yaml
	[ -e $(DESTDIR)/etc/lcms/lcms-subagent.yaml ] || install -D -m 644 -t $(DESTDIR)/etc/lcms deploy/lcms/lcms-subagent.yaml
	[ -e $(DESTDIR)/etc/snmp/snmpd.conf.d/lcms.conf ] || install -D -m 644 -t $(DESTDIR)/etc/snmp/snmpd.conf.d deploy/snmpd.conf.d/lcms.conf

clean: ## Remove what was built.
	rm -rf bin tmp

# Everything but Go is installed where it is missing: see internal/do/setup.go.
.PHONY: run test test-faults test-suites bench bench-peers replay setup build fuzz

GALLEY := bin/galley
# One set of flags, so that what is built, looked at and tested is compiled once. The race
# detector needs a C compiler.
export CGO_ENABLED := 0
# What many do at once runs under the race detector, which takes several times as long;
# what starts processes and browsers, or decides hundreds of thousands of cases, without it;
# internal/faults as part of test-faults.
MODULE := github.com/galleybackend/galley
RACE := $(addprefix $(MODULE)/internal/,action/goaction auth cache channel engine follow follow/job limit \
	observe outbound store/sqlite transport/proxy transport/rest)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
# What the tests wait for is mostly disks, processes and browsers, so that there are more at
# once than processors; vet has looked at all of it before.
TEST := go test -vet=off -p 3 -timeout 10m
# A command that needs a server elsewhere, which may be away for a moment.
insist = for pause in 5 15 45 0; do $(1) && break; test $$pause != 0 && sleep $$pause || exit 1; done

run: build
	go run ./examples/shop/provider -app examples/shop $(GALLEY) dev --app examples/shop

build:
	go build -o $(GALLEY) ./cmd/galley

setup:
	@$(call insist,go list -deps -test ./... > /dev/null)
	@$(call insist,go run $(STATICCHECK) -version)
	go run ./internal/do setup

test: setup build
	go vet ./...
	go run $(STATICCHECK) ./...
	CGO_ENABLED=1 $(TEST) -race $(RACE)
	$(TEST) $(filter-out $(RACE) $(MODULE)/internal/faults,$(shell go list ./...))

# GALLEY_SOAK=10000 makes the soak of the shop (TestSoak in internal/faults) so many checkouts
# long on each database; it has 100 otherwise.
# GALLEY_CHAOS and GALLEY_PAPERS make the chaos of subscriptions (internal/follow/live) so many
# calls long, and what passes somebody who never reads; GALLEY_FOLLOW is how often each node is
# killed while sockets follow it (TestFollowersSeeEveryCommit).
# What takes longer: the same simulation for longer, kills and cuts, and TPC-C with twenty
# kills on each database.
test-faults: setup build
	GALLEY_SIM_CALLS=150 go test -timeout 8m -count=1 -run TestSimulation ./internal/sim
	go test -timeout 12m -count=1 -tags faults ./internal/faults
	GALLEY_CHAOS=1000 go test -timeout 8m -count=1 -run Chaos ./internal/follow/live
	go test -timeout 8m -count=1 -tags faults -run 'TestGrpcurl|TestAStreamThatIsCut' ./internal/transport/rpc
	go test -timeout 4m -count=1 -tags faults -run Servers ./examples/kanban
	go test -timeout 4m -count=1 -tags faults -run TestNoCallFailsInARollingUpgrade ./internal/serve
	go run ./bench/tpcc -small -kills 20 -calls 600 -languages go -galley $(GALLEY)

# The public suite of Connect, gRPC and gRPC-Web, 3,632 cases, and the whole proof that
# galley conform makes, on both databases.
test-suites: setup
	go test -timeout 8m -count=1 -tags faults -run TestWholeProof ./internal/conform
	go test -timeout 10m -count=1 -v -tags faults -run TestConformance ./internal/transport/rpc

bench: build
	go run ./bench -galley $(GALLEY)
	go run ./bench/tpcc -galley $(GALLEY)
	go run ./bench/after -galley $(GALLEY)
	go run ./bench/live -galley $(GALLEY)
	go run ./bench/doors -galley $(GALLEY)

bench-peers: build
	go run ./bench -galley $(GALLEY) -on sqlite -peers

replay: build
	go run ./internal/do replay -galley $(GALLEY)

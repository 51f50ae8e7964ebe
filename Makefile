# Everything but Go is installed where it is missing: see internal/do/setup.go.
.PHONY: run test test-faults bench bench-peers replay setup build fuzz

GALLEY := bin/galley
# What measures memory, or decides hundreds of thousands of cases, runs without the race
# detector; what it does concurrently runs under it in the tests of engine and blackbox.
MODULE := github.com/galleybackend/galley
HEAVY := $(MODULE)/internal/rule $(MODULE)/internal/action/tsaction $(MODULE)/internal/codegen
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

run: build
	go run ./examples/shop/provider -app examples/shop $(GALLEY) dev --app examples/shop

build:
	CGO_ENABLED=0 go build -trimpath -o $(GALLEY) ./cmd/galley

setup:
	go run ./internal/do setup

test: setup build
	go vet ./...
	go run $(STATICCHECK) ./...
	go test -race -timeout 15m $(filter-out $(HEAVY),$(shell go list ./...))
	go test -timeout 15m $(HEAVY)

# GALLEY_SOAK=10000 makes the soak of the shop (TestSoak in internal/faults) so many checkouts
# long on each database; it has 300 otherwise.
# What takes longer: the same simulation for longer, the whole proof that users run, and
# TPC-C with twenty kills on each database and in each language.
test-faults: setup build
	GALLEY_SIM_CALLS=400 go test -timeout 8m -count=1 -run TestSimulation ./internal/sim
	go test -timeout 8m -count=1 -tags faults -run TestWholeProof ./internal/conform
	go test -timeout 12m -count=1 -tags faults ./internal/faults
	go run ./bench/tpcc -small -kills 20 -calls 4000 -galley $(GALLEY)

bench: build
	go run ./bench -galley $(GALLEY)
	go run ./bench/tpcc -galley $(GALLEY)

bench-peers: build
	go run ./bench -galley $(GALLEY) -on sqlite -peers

replay: build
	go run ./internal/do replay -galley $(GALLEY)

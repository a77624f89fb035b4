#!/usr/bin/env bash
# What "make verify" checks: format, module files, vet, lint, wire contracts, the chart, generated files, import rules and package comments.
set -euo pipefail
cd "$(dirname "$0")/../.."
step() { printf '== %s\n' "$*"; }

step "format"
unformatted=$(gofmt -l $(git ls-files '*.go'))
if [ -n "$unformatted" ]; then
  printf 'not formatted (run gofmt -w):\n%s\n' "$unformatted"
  exit 1
fi

step "module files"
go mod tidy -diff
go mod verify >/dev/null

step "vet"
go vet ./...
go vet -tags e2e ./e2e/...
go vet -tags e2ekube ./e2e/kube/...
(cd e2e/kube/coredns && go vet ./...)
go vet -tags wrongclock ./cmd/hanse

step "lint"
go tool -modfile=tools/staticcheck.mod staticcheck ./...

step "wire contracts"
go tool -modfile=tools/buf.mod buf lint
if git cat-file -e HEAD~1:buf.yaml 2>/dev/null; then
  go tool -modfile=tools/buf.mod buf breaking --against '.git#ref=HEAD~1'
fi

step "chart"
helm=$(go tool -modfile=tools/helm.mod -n helm)
HANSE_HELM="$helm" go test -count=1 ./deploy/helm

step "generated files"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
go tool -modfile=tools/buf.mod buf generate -o "$scratch"
stale() { echo "generated files are stale: run make generate"; exit 1; }
diff -r "$scratch/api/gen" api/gen || stale
go run ./deploy/openapi >"$scratch/openapi.json"
diff "$scratch/openapi.json" api/openapi.json || stale
go run ./deploy/openapi -client >"$scratch/openapi-client.json"
# The place that the configuration names would win over the flag.
sed "s|^output:.*|output: $scratch/client.gen.go|" api/client/oapi-codegen.yaml >"$scratch/oapi-codegen.yaml"
go tool -modfile=tools/oapi.mod oapi-codegen -config "$scratch/oapi-codegen.yaml" "$scratch/openapi-client.json"
diff "$scratch/client.gen.go" api/client/client.gen.go || stale

step "import rules and package comments"
go test -count=1 ./internal/archtest

echo "verify: ok"

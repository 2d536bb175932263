#!/bin/bash
# samples/run.sh - from a fresh checkout to JSON: packages, build, extract samples/.
set -euo pipefail
cd "$(dirname "$0")/.."
. samples/common.sh

usage() {
    cat <<'END'
usage: samples/run.sh [OUTPUT-FOLDER]

Installs the Debian packages that are missing (with sudo when not root), builds docvl
in build/, extracts every document in samples/ and prints one line for each.  The
results lie in samples-out/, or in OUTPUT-FOLDER, as NAME.json.

The schema of a document is the first word of its file name: invoice-, receipt-, form-.
Ends with 0 when every document gave a result.  A result that needs a person to look at
it (status "review") is a result.
END
}

out=samples-out
case "${1-}" in
-h | --help) usage; exit 0 ;;
-*) usage >&2; exit 1 ;;
?*) out=$1 ;;
esac
[ $# -le 1 ] || { usage >&2; exit 1; }

# shellcheck disable=SC2086  # lists of words
install_packages $packages_build $packages_run
build_tree build

export DOCVL_MODEL=${DOCVL_MODEL-$PWD/model/nano}
export DOCVL_RENDER=${DOCVL_RENDER-$PWD/build/pipeline/docvl-render}
export DOCVL_SCHEMAS=${DOCVL_SCHEMAS-$PWD/schemas}
mkdir -p "$out"

failed=0 count=0 review=0
for file in samples/*; do
    name=${file##*/}
    case $name in
    invoice-* | receipt-* | form-*) ;;
    *) continue ;;
    esac
    case $name in
    *.json) continue ;;
    esac
    count=$((count + 1))
    # A result of an earlier run must not stand in for one that failed now.
    rm -f "$out/$name.json"
    status=0
    build/pipeline/docvl extract --quiet --schema "${name%%-*}" -o "$out" "$file" ||
        status=$?
    case $status in
    0) ;;
    4) review=$((review + 1)) ;;
    130 | 143) exit "$status" ;;
    *) failed=$((failed + 1)) ;;
    esac
    python3 samples/summary.py "$name" "$status" "$out/$name.json"
done

say
say "$count documents: $((count - failed - review)) ok, $review to review, $failed failed"
say "JSON: $out/"
[ "$count" -gt 0 ] && [ "$failed" -eq 0 ]

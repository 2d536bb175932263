#!/bin/bash
# tests/bench/figures.sh - the figures of an evaluation, on a machine that does nothing else.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: tests/bench/figures.sh EVAL OUT [SET...]

EVAL  a folder with receipts/, invoices/, forms/, pages/, hostile/, each with its
      manifest.jsonl, and with envelope.py and score.py
OUT   gets everything, and figures.txt, which is also printed
SET   receipts invoices invoices-noxml invoices-scan forms pages text hostile; all when
      none is named.  "text" reads the receipts, beside Tesseract, as "pages" does.
      invoices-scan needs pdftoppm (poppler-utils), text and pages need tesseract-ocr.

docvl is build/pipeline/docvl, or $DOCVL.  2 threads.
TEXT
}

case ${1-} in
-h | --help) usage; exit 0 ;;
esac
[ $# -ge 2 ] || { usage >&2; exit 1; }
eval_dir=$(realpath "$1") out=$(realpath -m "$2")
shift 2
sets=("$@")
[ $# -gt 0 ] ||
    sets=(receipts invoices invoices-noxml invoices-scan forms pages text hostile)
here=$(dirname "$(realpath "$0")")
export DOCVL=${DOCVL-$(realpath "$here/../../build/pipeline/docvl")}
mkdir -p "$out"
log=$out/figures.txt
: >"$log"
say() { printf '%s\n' "$*" | tee -a "$log"; }

# extract NAME FOLDER SCHEMA [option...]: costs, then the score of the values.
extract() {
    local name=$1 folder=$2 schema=$3
    shift 3
    python3 "$here/sets.py" "$folder" "$out/$name" --schema "$schema" "$@" | tee -a "$log"
    rm -rf "$out/$name/pred"
    python3 "$eval_dir/envelope.py" "$out/$name/results" "$out/$name/pred" | tee -a "$log"
    python3 "$eval_dir/score.py" "$folder/manifest.jsonl" "$out/$name/pred" | tee -a "$log"
}

# Every page of the invoices without XML as a grey picture of 150 dpi, first page only where
# the truth is of one page; several pages become one TIFF.
scan_invoices() {
    local to=$1 pdf stem
    mkdir -p "$to"
    for pdf in "$eval_dir"/invoices/noxml/*.pdf "$eval_dir"/invoices/*.pdf; do
        stem=$(basename "$pdf" .pdf)
        [ -e "$to/$stem.tif" ] || [ -e "$to/$stem-scan" ] && continue
        mkdir "$to/$stem-scan"
        pdftoppm -r 150 -gray -tiff "$pdf" "$to/$stem-scan/p"
        tiffcp -c lzw "$to/$stem-scan"/*.tif "$to/$stem.tif"
        rm -r "$to/$stem-scan"
    done
    sed 's/"file": "\([^"]*\)\.pdf"/"file": "\1.tif"/' "$eval_dir/invoices/manifest.jsonl" \
        >"$to/manifest.jsonl"
}

say "docvl figures, $(date -u +%Y-%m-%dT%H:%MZ), load $(cut -d' ' -f1-3 /proc/loadavg)"
"$DOCVL" doctor | tee -a "$log"
for set in "${sets[@]}"; do
    say
    say "== $set"
    case $set in
    receipts) extract receipts "$eval_dir/receipts" receipt ;;
    invoices) extract invoices "$eval_dir/invoices" invoice ;;
    invoices-noxml) extract invoices-noxml "$eval_dir/invoices" invoice --field file_noxml ;;
    invoices-scan)
        if ! command -v pdftoppm >/dev/null || ! command -v tiffcp >/dev/null; then
            say "skipped: needs pdftoppm and tiffcp (poppler-utils, libtiff-tools)"
            continue
        fi
        rm -rf "$out/scans"
        scan_invoices "$out/scans"
        extract invoices-scan "$out/scans" invoice
        ;;
    forms) extract forms "$eval_dir/forms" form ;;
    pages | text)
        folder=$eval_dir/pages
        [ "$set" = pages ] || folder=$eval_dir/receipts
        python3 "$here/compare.py" "$folder" "$out/$set" --scorer "$eval_dir/score.py" |
            tee -a "$log"
        for program in docvl tesseract; do
            say "-- $program"
            python3 "$eval_dir/score.py" "$folder/manifest.jsonl" "$out/$set/$program" |
                tee -a "$log"
        done
        ;;
    hostile)
        status=0
        python3 "$here/hostile.py" "$eval_dir/hostile" "$out/hostile" >"$out/hostile.log" ||
            status=$?
        tail -n 1 "$out/hostile.log" | tee -a "$log"
        python3 "$eval_dir/score.py" "$eval_dir/hostile/manifest.jsonl" "$out/hostile/pred" |
            tee -a "$log"
        [ "$status" -eq 0 ] || say "hostile: faults, see $out/hostile/hostile.md"
        ;;
    *) usage >&2; exit 1 ;;
    esac
done
say
say "everything is in $out"

# shellcheck shell=bash disable=SC2034  # the lists are read by who sources this
# common.sh - shared by samples/run.sh and tests/run.sh: packages and the build.
# Sourced by bash from the repository root; asks for nothing that is already there.

# What the build needs, and what the programs need when they run.
packages_build="build-essential meson ninja-build pkg-config scdoc python3
 libglib2.0-dev libpoppler-glib-dev libtiff-dev libpng-dev libjpeg62-turbo-dev
 libturbojpeg0-dev libyaml-dev libjansson-dev libpcre2-dev libsqlite3-dev
 libcurl4-openssl-dev libseccomp-dev"
packages_run="libopenblas0-pthread poppler-data fonts-dejavu-core"
# What only the tests need.
packages_test="python3-jsonschema python3-numpy python3-pil python3-reportlab
 python3-yaml qpdf fonts-dejavu-extra"
# What only tests/run.sh --ci needs: the other compiler, and what checks style, manuals
# and scripts; their tests are skipped where they are missing.
packages_ci="clang clang-format shellcheck mandoc"

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

have_package() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# install_packages NAME...: apt runs only when one is missing, with sudo when not root.
install_packages() {
    local missing=() name as_root=()
    command -v dpkg-query >/dev/null ||
        die "this is not Debian; install by hand what stands for: $*"
    for name in "$@"; do
        have_package "$name" || missing+=("$name")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "not root and no sudo; missing: ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing: ${missing[*]}"
    local log
    log=$(mktemp) || die "no temporary file"
    quietly "$log" ${as_root[@]+"${as_root[@]}"} apt-get update -qq
    quietly "$log" ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}"
    rm -f "$log"
}

# quietly LOG COMMAND...: the command's output is shown only when it fails.
quietly() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 && return 0
    tail -n 60 "$log" >&2
    die "failed: $* (whole output in $log)"
}

# build_tree DIR [meson setup option...]
build_tree() {
    local dir=$1
    shift
    mkdir -p "$dir"
    if [ ! -f "$dir/build.ninja" ]; then
        say "setting up $dir"
        quietly "$dir/setup.log" meson setup "$dir" "$@"
    fi
    say "building $dir"
    quietly "$dir/build.log" ninja -C "$dir"
}

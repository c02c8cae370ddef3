# What the tests in Python share; sourced by them. A virtual environment in the cache folder, and a
# core of their own, without agents, on free ports, which ends with them.
# shellcheck shell=bash

name=$(basename "$0")
scratch=$(mktemp -d)
core=

finish() {
    if [ -n "$core" ]; then
        kill "$core" 2>/dev/null || true
        wait "$core" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}
trap finish EXIT

skip() {
    echo "$name: SKIPPED: $1" >&2
    exit 0
}

# An environment with one package: `environment NAME VERSION`. Its programs are in $environment/bin.
environment() {
    command -v python3 >/dev/null || skip "there is no python3"
    environment=${XDG_CACHE_HOME:-$HOME/.cache}/ambit/$1-$2
    [ -e "$environment/ready" ] && return
    rm -rf "$environment"
    python3 -m venv "$environment" 2>/dev/null || skip "python3 cannot make a virtual environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check "$1==$2" ||
        skip "$1 $2 cannot be installed"
    touch "$environment/ready"
}

# Starts a core: `start_core PATH_TO_AMBIT`. Then $url is its API and $broker its broker.
start_core() {
    printf '[broker]\nlisten = "127.0.0.1:0"\n' >"$scratch/core.toml"
    "$1" core --config "$scratch/core.toml" --listen 127.0.0.1:0 --data "$scratch/data" \
        >"$scratch/out" 2>"$scratch/log" &
    core=$!
    for _ in $(seq 200); do
        url=$(sed -n 's/^ready //p' "$scratch/out")
        [ -n "$url" ] && break
        kill -0 "$core" 2>/dev/null || break
        sleep 0.1
    done
    if [ -z "$url" ]; then
        cat "$scratch/log" >&2
        echo "$name: the core did not start" >&2
        exit 1
    fi
    # shellcheck disable=SC2034
    broker=$(sed -n 's/.*broker listens plain=Some(\([^)]*\)).*/\1/p' "$scratch/log" "$scratch/out")
}

#!/usr/bin/env bash
# The proxy's status page in a real browser: what it shows, wide and narrow, light and dark, and that keyboards and screen
# readers find their way. Needs chromium, psql and python3; SHIFTKEY names the binary; SHOTS keeps the pictures.
set -euo pipefail
cd "$(dirname "$0")"
shiftkey=$(realpath "${SHIFTKEY:-../../target/debug/shiftkey}")
dir=$(mktemp -d)
shots=${SHOTS:-$dir}
export shiftkey dir shots

inside() {
    proxy=
    trap '[ -z "$proxy" ] || kill "$proxy" 2>/dev/null; kill $(jobs -p) 2>/dev/null; wait' EXIT
    : >"$dir/out"
    "$shiftkey" proxy prod/analytics=0 prod/adhoc=0 --admin 0 --json >"$dir/out" 2>"$dir/told" &
    proxy=$!
    for _ in $(seq 200); do
        page=$(sed -n 's/.*"admin": "\(.*\)".*/\1/p' "$dir/out")
        [ -n "$page" ] && break
        sleep 0.05
    done
    [ -n "$page" ] || { cat "$dir/told" >&2; exit 1; }
    ports=($(sed -n 's/.*"port": \([0-9]*\).*/\1/p' "$dir/out"))
    # Two sessions that stay, with a name that would be a script, and a sign-in that fails.
    for place in 0 1; do
        mkfifo "$dir/$place"
        PGAPPNAME="nightly <script>report</script>" psql -XAtqw "host=127.0.0.1 port=${ports[$place]} user=me dbname=dev sslmode=disable" \
            <"$dir/$place" >"$dir/answer$place" &
        exec {held}>"$dir/$place"
        echo "select 'here';" >&"$held"
        for _ in $(seq 200); do
            [ -s "$dir/answer$place" ] && break
            sleep 0.05
        done
    done
    ! psql -XAtqw "host=127.0.0.1 port=${ports[0]} user=me dbname=nothere sslmode=disable" -c 'select 1' 2>/dev/null
    browser() {
        timeout 60 chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$dir/profile" --virtual-time-budget=1000 \
            "$@" "$page" 2>>"$dir/chromium"
    }
    browser --dump-dom >"$dir/dom.html" || { tail "$dir/chromium" >&2; exit 1; }
    browser --window-size=1280,1000 --screenshot="$shots/wide-light.png" >/dev/null
    browser --window-size=1280,1000 --force-dark-mode --screenshot="$shots/wide-dark.png" >/dev/null
    browser --window-size=500,1400 --screenshot="$shots/narrow-light.png" >/dev/null
    for shot in wide-light wide-dark narrow-light; do [ -s "$shots/$shot.png" ] || { echo "no picture $shot" >&2; exit 1; }; done
    # The two schemes differ, or one of them was not asked for.
    ! cmp -s "$shots/wide-light.png" "$shots/wide-dark.png" || { echo "dark is light" >&2; exit 1; }
    python3 check.py "$dir/dom.html"
    exec {held}>&-
}
export -f inside
trap 'rm -rf "$dir"' EXIT
"$shiftkey" sandbox -q --engine embedded -- bash -euo pipefail -c inside

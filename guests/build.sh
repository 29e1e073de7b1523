#!/bin/sh
# Builds all guests and puts them into target/guests/. JavaScript ones only when
# npm is there, jco's only when Node is new enough for it, Python ones only when python3
# is; `--rust-only` leaves all of these out, and those of `foreign` with them.
set -eu

rust_only=no
case "${1-}" in
    '') ;;
    --rust-only) rust_only=yes ;;
    *) echo "usage: $0 [--rust-only]" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.."
target=wasm32-wasip2
built="${CARGO_TARGET_DIR:-target}/$target/guest"
out=target/guests
mkdir -p "$out"

# Replaces a file only when it differs, so that whoever looks at its time sees
# no change where there is none.
place() {
    if ! cmp -s "$1" "$2"; then
        cp "$1" "$2.new"
        mv "$2.new" "$2"
    fi
}

if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    rustup target add "$target"
fi
cargo build --locked --profile guest --target "$target" --package wxhost-echo --package wxhost-gatekeeper \
    --package wxhost-webhook
cargo build --locked --profile guest --target "$target" --package wxhost-cookbook --package wxhost-hostile --examples

place "$built/wxhost_echo.wasm" "$out/echo.wasm"
place "$built/wxhost_gatekeeper.wasm" "$out/gatekeeper.wasm"
place "$built/wxhost_webhook.wasm" "$out/webhook.wasm"
for package in cookbook hostile; do
    sed -n '/^\[\[example\]\]/,$ s/^name = "\(.*\)"/\1/p' "guests/$package/Cargo.toml"
done | while read -r name; do
    place "$built/examples/$(echo "$name" | tr - _).wasm" "$out/$name.wasm"
done

if [ "$rust_only" = yes ]; then
    :
elif ! command -v npm >/dev/null; then
    echo "npm is not there: no JavaScript guests" >&2
else
    bots=guests/faq
    if node guests/node-runs-jco.js; then
        bots="$bots guests/foreign/js"
    else
        echo "jco needs Node 20.19 or 22.13, not $(node --version): no guests/foreign/js" >&2
    fi
    for bot in $bots; do
        # Built by the package `foreign-js` in `foreign/js`.
        name=$(echo "${bot#guests/}" | tr / -)
        modules="$bot/node_modules/.package-lock.json"
        if [ ! -f "$modules" ] || [ "$bot/package-lock.json" -nt "$modules" ]; then
            # Not `npm ci`: it insists on the compiler's packages for all
            # systems, and the lock file lacks those not found when it was made.
            (cd "$bot" && npm install --no-save --no-audit --no-fund)
            touch "$modules"
        fi
        newer=$(find "$bot/package.json" "$bot/package-lock.json" "$bot/src" guests/sdk-js \
            guests/foreign/wit wit -type f -newer "$out/$name.wasm" 2>/dev/null || echo "not built yet")
        if [ -n "$newer" ]; then
            (cd "$bot" && npm run --silent build)
            mv "$bot/$name.wasm" "$out/$name.wasm"
        fi
    done
    # One for the tests, with the compiler of the other.
    newer=$(find guests/hostile/rememberer.js guests/faq/package-lock.json guests/sdk-js wit \
        -type f -newer "$out/rememberer-js.wasm" 2>/dev/null || echo "not built yet")
    if [ -n "$newer" ]; then
        guests/faq/node_modules/.bin/componentize-qjs --sync --wit wit --js guests/hostile/rememberer.js \
            --module-root guests --output "$out/rememberer-js.wasm.new"
        mv "$out/rememberer-js.wasm.new" "$out/rememberer-js.wasm"
    fi
fi

# componentize-py, pinned, in a place of its own.
python=target/python
wanted=guests/templates/python/requirements.txt
if [ "$rust_only" = yes ]; then
    :
elif ! command -v python3 >/dev/null; then
    echo "python3 is not there: no Python guests" >&2
elif ! { cmp -s "$wanted" "$python/installed" || {
    python3 -m venv "$python" && "$python/bin/pip" install --quiet -r "$wanted" && cp "$wanted" "$python/installed"
}; }; then
    # Debian has the module venv in a package of its own.
    echo "componentize-py could not be installed (apt-get install python3-venv?): no Python guests" >&2
else
    # The second is one for the tests.
    for bot in guests/concierge/src:concierge guests/hostile/python:rememberer-py; do
        source=${bot%:*} name=${bot#*:}
        newer=$(find "$source" guests/sdk-python/wxhost_sdk wit "$wanted" -name __pycache__ -prune -o \
            -type f -newer "$out/$name.wasm" -print 2>/dev/null || echo "not built yet")
        if [ -n "$newer" ]; then
            "$python/bin/componentize-py" -d wit -w bot componentize bot \
                -p "$source" -p guests/sdk-python -o "$out/$name.wasm.new"
            mv "$out/$name.wasm.new" "$out/$name.wasm"
        fi
    done
    # As others make them: with nothing of ours.
    newer=$(find guests/foreign/python guests/foreign/wit wit "$wanted" -name __pycache__ -prune -o \
        -type f -newer "$out/foreign-python.wasm" -print 2>/dev/null || echo "not built yet")
    if [ -n "$newer" ]; then
        "$python/bin/componentize-py" -d guests/foreign/wit -w proxy componentize site_app \
            -p guests/foreign/python/src -o "$out/foreign-python.wasm.new"
        mv "$out/foreign-python.wasm.new" "$out/foreign-python.wasm"
    fi
fi

# A workspace of its own, with the crates that Spin needs.
if [ "$rust_only" = no ]; then
    spin="${CARGO_TARGET_DIR:-target}/spin"
    cargo build --locked --release --target "$target" --target-dir "$spin" \
        --manifest-path guests/foreign/spin/Cargo.toml --lib --examples
    place "$spin/$target/release/foreign_spin.wasm" "$out/foreign-spin.wasm"
    place "$spin/$target/release/examples/foreign_spin_store.wasm" "$out/foreign-spin-store.wasm"
fi

printf '\n%-24s %10s\n' guest bytes
for file in "$out"/*.wasm; do
    printf '%-24s %10d\n' "$(basename "$file" .wasm)" "$(wc -c <"$file")"
done

#!/usr/bin/env bash
# `policy` held against software that others wrote: parliament and policy_sentry judge what is generated, cfn-lint and a parser of
# Terraform's language read it, boto3 reads the sandbox's IAM, moto's IAM is what `policy apply` acts on and `audit` reads, and an evaluator from npm
# decides the requests of the property test once more.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export SHIFTKEY=${SHIFTKEY:-$here/../../target/debug/shiftkey}
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$tmp"; }
trap stop EXIT

python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check 'moto[server,iam]' boto3 parliament policy_sentry setuptools cfn-lint python-hcl2
python=$tmp/venv/bin/python
home=$HOME
export HOME=$tmp XDG_CACHE_HOME=$tmp/cache AWS_EC2_METADATA_DISABLED=true
unset AWS_PROFILE AWS_SESSION_TOKEN XDG_RUNTIME_DIR SHIFTKEY_CONFIG

echo "what is generated"
env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY "$python" "$here/generated.py"

echo "the sandbox's IAM, by boto3"
"$SHIFTKEY" sandbox -q --engine embedded --caller security -- "$python" "$here/sandbox.py"

echo "policy apply, on moto's IAM"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
MOTO_IAM_LOAD_MANAGED_POLICIES=true "$tmp/venv/bin/moto_server" -H 127.0.0.1 -p "$port" >"$tmp/log" 2>&1 &
server=$!
AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=testing \
    AWS_SECRET_ACCESS_KEY=testing SHIFTKEY_RATE=1000:1000 "$python" "$here/apply.py" || { tail -20 "$tmp/log" >&2; exit 1; }

echo "an audit of the sandbox's warehouse, with moto's IAM"
MOTO=http://127.0.0.1:$port "$SHIFTKEY" sandbox -q --engine embedded --caller security -- "$python" "$here/audit.py" || { tail -20 "$tmp/log" >&2; exit 1; }

if command -v npm >/dev/null && command -v cargo >/dev/null; then
    echo "requests, by an evaluator from npm"
    npm install --silent --no-fund --no-audit --prefix "$tmp/npm" @cloud-copilot/iam-simulate@0.1.173
    (cd "$here/../.." && HOME=$home SHIFTKEY_POLICY_CASES=$tmp/cases cargo test -q -p shiftkey --test policy grants)
    NODE_PATH=$tmp/npm/node_modules node "$here/simulate.js" "$tmp/cases"
fi

#!/usr/bin/env bash
# shiftkey against moto, a pretend AWS that others wrote, with boto3's answers beside ours.
# moto knows GetClusterCredentials and DescribeClusters; not GetClusterCredentialsWithIAM, nor Serverless credentials.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export SHIFTKEY=${SHIFTKEY:-$here/../../target/debug/shiftkey}
tmp=$(mktemp -d)
server=
stop() { [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$tmp"; }
trap stop EXIT

python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check 'moto[server,redshift]' boto3
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$tmp/venv/bin/moto_server" -H 127.0.0.1 -p "$port" >"$tmp/log" 2>&1 &
server=$!
export HOME=$tmp XDG_CACHE_HOME=$tmp/cache AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
export AWS_ACCESS_KEY_ID=testing AWS_SECRET_ACCESS_KEY=testing AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=$tmp/config
unset AWS_PROFILE AWS_SESSION_TOKEN XDG_RUNTIME_DIR SHIFTKEY_CONFIG
cat >"$tmp/config" <<'CONFIG'
[profile base]
aws_access_key_id = testing
aws_secret_access_key = testing
[profile analyst]
role_arn = arn:aws:iam::123456789012:role/analyst
role_session_name = alice
source_profile = base
CONFIG
"$tmp/venv/bin/python" "$here/compare.py" || { tail -20 "$tmp/log" >&2; exit 1; }

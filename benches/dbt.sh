#!/usr/bin/env bash
source "$(dirname "$0")/../tests/software.sh"
dbt
DBT="$software/dbt/bin/dbt" exec python3 -B "$(dirname "$0")/dbt.py" "$@"

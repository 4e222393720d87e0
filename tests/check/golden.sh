#!/usr/bin/env bash
# The golden containers are what delta/FORMAT.md says, by a decoder written from
# it alone; unit/golden has them read by ours.  golden.sh [ROOT]
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"
export PYTHONDONTWRITEBYTECODE=1
exec tests/support/undelta_golden.py tests/golden

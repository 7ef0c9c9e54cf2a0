#!/bin/sh
# The whole path from a fresh clone, without make: environment, build, then `aixmeg quickstart`.
#   examples/quickstart.sh [options of aixmeg quickstart]
# PYTHON, VENV, TORCH and TORCH_INDEX mean what they mean in the Makefile.
set -eu
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}
"${PYTHON:-python3}" -m venv "$venv"
pip="$venv/bin/pip --disable-pip-version-check -q"
# torch comes first and alone, so that nothing else decides which build of it is installed
$pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "${TORCH:-torch==2.13.0}"
$pip install "setuptools>=77"
$pip install --no-build-isolation -e .
exec "$venv/bin/aixmeg" quickstart "$@"

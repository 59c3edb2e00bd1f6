#!/bin/sh
# Make the virtual environment of one peer.
#
#   setup.sh NAME FOLDER      NAME: sockeye, opennmt, fairseq, hf, eole or joeynmt
#
# The environment is FOLDER/NAME.  PYTHON chooses the interpreter (3.11 was used).
# torch comes first and alone, so that the options of pip can choose its build; all the
# rest is pinned and installed without dependencies, since most peers ask for an older torch.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 NAME FOLDER" >&2
    exit 2
fi
name=$1
here=$(cd "$(dirname "$0")" && pwd)
needs=$here/requirements/$name.txt
if [ ! -f "$needs" ]; then
    echo "$0: no peer is called $name" >&2
    exit 2
fi

mkdir -p "$2"
environment=$(cd "$2" && pwd)/$name
"${PYTHON:-python3}" -m venv "$environment"
"$environment/bin/pip" install torch==2.13.0
"$environment/bin/pip" install --no-deps --requirement "$needs"
if [ "$name" = fairseq ]; then
    "$environment/bin/python" "$here/mend_fairseq.py"
fi
echo "$environment/bin/python is ready"

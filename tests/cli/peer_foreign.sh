#!/bin/sh
# Files of PyTorch in our programs and ours in PyTorch: needs DCL_PEER_PYTHON (a Python with torch, torchvision, pillow,
# safetensors); exit code 77 without it. DCL_APPS is the folder of the programs.
set -eu
. "$(dirname "$0")/peer_setup.sh"

quietly() { "$@" 2> "$work/log" || { cat "$work/log"; exit 1; }; }
for size in 32 96; do "$DCL_PEER_PYTHON" "$here/peer_images.py" "$work/images$size" $size; done

for network in "resnet50 cifar" "resnet18 imagenet"; do
  set -- $network
  arch=$1 stem=$2 folder="$work/$1"
  mkdir "$folder"
  "$DCL_PEER_PYTHON" "$here/peer_foreign.py" "$folder" $arch $stem
  compare() { size=$1; shift; "$DCL_PEER_PYTHON" "$here/peer_features.py" $arch $stem "$work/images$size" "$@"; }
  convert() { quietly "$DCL_APPS/dcl-convert" "$folder/checkpoint.pth" "$@"; }
  embed() {
    quietly "$DCL_APPS/dcl-embed" --dataset folder --data "$work/images$2" --model_path "$folder/$1.pth" \
      --out "$folder/$1$2.npy"
  }

  # The features of what others saved are PyTorch's.
  for file in zip legacy checkpoint torchvision; do embed $file 32; done
  for file in zip torchvision; do embed $file 96; done
  # What we hand back loads strictly into the published class, and gives the features of the original.
  convert "$folder/back.pth" --names published
  convert "$folder/legacy-back.pth" --names published --legacy
  convert "$folder/module-back.pth" --names published --prefix module.
  convert "$folder/back.safetensors" --names published

  set --
  for file in zip torchvision; do set -- "$@" "$folder/plain.pth" "$folder/${file}96.npy"; done
  compare 96 "$@"
  set --
  for file in zip legacy checkpoint torchvision; do set -- "$@" "$folder/plain.pth" "$folder/${file}32.npy"; done
  for file in back.pth legacy-back.pth module-back.pth back.safetensors; do set -- "$@" "$folder/$file" "$folder/zip32.npy"; done
  compare 32 "$@"

  convert "$folder/back-tv.pth" --names torchvision
  "$DCL_PEER_PYTHON" - "$folder" <<'PYTHON'
import sys
import torch
folder = sys.argv[1]
ours = torch.load(f"{folder}/back-tv.pth", weights_only=True)
theirs = torch.load(f"{folder}/torchvision.pth", weights_only=True)
assert set(theirs) - set(ours) == {"fc.weight", "fc.bias"}, set(theirs) ^ set(ours)
for name, value in ours.items():
    assert value.dtype == theirs[name].dtype and torch.equal(value, theirs[name]), name
print(f"{len(ours)} tensors under torchvision's names")
PYTHON
done

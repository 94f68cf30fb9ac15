#!/bin/sh
# Classifiers of PyTorch in our programs and ours in PyTorch and ONNX Runtime: needs DCL_PEER_PYTHON (a Python with torch,
# torchvision, pillow, safetensors, onnxruntime); exit code 77 without it. DCL_APPS is the folder of the programs.
set -eu
. "$(dirname "$0")/peer_setup.sh"
"$DCL_PEER_PYTHON" -c "import onnxruntime" 2> /dev/null || { echo "skipped: no onnxruntime"; exit 77; }

quietly() { "$@" 2> "$work/log" > /dev/null || { cat "$work/log"; exit 1; }; }
"$DCL_PEER_PYTHON" "$here/peer_images.py" "$work/images/train" 32
"$DCL_PEER_PYTHON" "$here/peer_images.py" "$work/images/test" 32
images="--dataset folder --data $work/images"

for network in "resnet18 cifar" "resnet50 imagenet"; do
  set -- $network
  arch=$1 stem=$2 at="$work/$1"
  "$DCL_PEER_PYTHON" "$here/peer_classifier.py" save "$at" $arch $stem
  # What the published linear evaluation would save, and torchvision's own; then one of ours, whose encoder learned.
  quietly "$DCL_APPS/dcl-linear" $images --untrained --arch $arch --stem $stem --protocol finetune --epochs 1 \
    --normalization half \
    --out "$at-ours.safetensors"
  for model in "$at-published.pth" "$at-torchvision.pth" "$at-ours.safetensors"; do
    case $model in *-torchvision.pth) as="--normalization imagenet" ;; *) as="" ;; esac
    quietly "$DCL_APPS/dcl-predict" $images --model_path "$model" --out "$at.csv" --logits "$at.npy" $as
    quietly "$DCL_APPS/dcl-convert" "$model" "$at.onnx" $as
    quietly "$DCL_APPS/dcl-convert" "$model" "$at-tv.pth" --names torchvision
    "$DCL_PEER_PYTHON" "$here/peer_classifier.py" compare "$at" $arch $stem "$model" "$work/images/test"
  done
done

#!/bin/sh
# A whole training step against PyTorch: needs DCL_PEER_PYTHON (a Python with torch, torchvision, pillow, safetensors); exit
# code 77 without it. DCL_APPS is the folder of the programs. Views are the images, and the batch is all of them, so that no
# random number is needed to know what the network saw; the learning rate leaves the weights as they were.
set -eu
. "$(dirname "$0")/peer_setup.sh"

"$DCL_PEER_PYTHON" "$here/peer_images.py" "$work/images" 32

step() {
  arch=$1 stem=$2 objective=$3 positives=$4 device=$5
  "$DCL_APPS/dcl-pretrain" --dataset folder --data "$work/images" --dtype f32 --arch "$arch" --stem "$stem" --objective "$objective" \
    --num_positives "$positives" --beta 2 --temperature 0.5 --tau_plus 0.1 --feature_dim 32 --batch_size 12 --image_size 32 \
    --crop_min_scale 1 --flip_probability 0 --jitter_probability 0 --gray_probability 0 --blur_probability 0 \
    --optimizer sgd --momentum 0.9 --weight_decay 0 --lr 1e-30 --max_steps 1 --no_knn --device "$device" \
    --run_dir "$work/run" 2> "$work/log" || { cat "$work/log"; exit 1; }
  "$DCL_PEER_PYTHON" "$here/peer_step.py" "$arch" "$stem" "$objective" "$positives" "$work/images" "$work/run"
  rm -r "$work/run"
}

step resnet18 cifar debiased 2 auto
step resnet18 imagenet hard 1 eigen
step resnet18 cifar unbiased 1 eigen
step resnet18 cifar supcon 1 eigen
step resnet18 cifar decoupled 1 eigen
step resnet50 imagenet biased 1 auto

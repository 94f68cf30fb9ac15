"""Checks and measures the CUDA backend on a machine that has a GPU, PyTorch and no packages of this project."""

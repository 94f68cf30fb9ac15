"""The least time of a training step of ResNet-50 (CIFAR stem, two views of 32x32, bf16) on a GPU of given rates.

Kernels run one after another, so that the floor is the sum of max(arithmetic, memory) over them, each operand read or
written once. Convolutions have three passes (the stem two). Batch norm with ReLU and residual is one pass each way beside
the pass that reduces; with the reductions in the convolutions' epilogues it is that pass alone.
"""

import collections

Conv = collections.namedtuple("Conv", "inputs outputs kernel stride extent residual downsample")
ELEMENT, PARAMETER, ADAM = 2, 4, 28  # bytes: bf16; f32; weight and two moments read and written, gradient read
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # width, blocks, stride
HEAD = (2048, 512, 128)


def convolutions():
    """In forward order; extent is the input's. residual: its batch norm adds one; downsample: no ReLU after it."""
    convs, channels, extent = [Conv(3, 64, 3, 1, 32, False, False)], 64, 32
    for width, blocks, stride in STAGES:
        for block in range(blocks):
            step = stride if block == 0 else 1
            convs += [
                Conv(channels, width, 1, 1, extent, False, False),
                Conv(width, width, 3, step, extent, False, False),
            ]
            if block == 0:
                convs.append(Conv(channels, 4 * width, 1, step, extent, False, True))
            extent //= step
            convs.append(Conv(width, 4 * width, 1, 1, extent, True, False))
            channels = 4 * width
    return convs


def flops_of(conv, views):
    out = conv.extent // conv.stride
    return 2.0 * views * out * out * conv.outputs * conv.inputs * conv.kernel**2


def weights_of(conv):
    return conv.inputs * conv.outputs * conv.kernel**2


def kernels(views, epilogue_sums=False):
    """[(floating-point operations, bytes)] of a step."""
    all_kernels = []
    for i, conv in enumerate(convolutions()):
        out = conv.extent // conv.stride
        touched = conv.extent if conv.kernel > 1 else out  # a strided 1x1 skips pixels
        x = views * conv.extent**2 * conv.inputs * ELEMENT
        read = views * touched**2 * conv.inputs * ELEMENT
        y = views * out**2 * conv.outputs * ELEMENT
        flops, weights = flops_of(conv, views), weights_of(conv) * ELEMENT
        forward, filter_gradient = (flops, read + weights + y), (flops, read + y + 2 * weights)
        all_kernels += [forward, filter_gradient] if i == 0 else [forward, filter_gradient, (flops, y + weights + x)]
        residual = y if conv.residual else 0
        if not epilogue_sums:
            all_kernels += [(0, y), (0, 2 * y)]  # statistics forward, sums backward
        all_kernels += [(0, 2 * y + residual), (0, 3 * y + residual)]
    head = sum(a * b for a, b in zip(HEAD, HEAD[1:]))
    parameters = sum(map(weights_of, convolutions())) + head
    return all_kernels + [(6.0 * views * head, 3 * head * ELEMENT), (0, parameters * ADAM)]


def seconds(views, flops_per_second, bytes_per_second, epilogue_sums=False):
    return sum(max(flops / flops_per_second, size / bytes_per_second) for flops, size in kernels(views, epilogue_sums))

// Lets an inline function be compiled for the host and, by nvcc, for the device as well. On the host it is always
// inlined: kernels are built once per instruction set, and an out-of-line copy could be shared between them.
#pragma once

#ifdef __CUDACC__
#define DCL_HD __host__ __device__ inline
#else
#define DCL_HD __attribute__((always_inline)) inline
#endif

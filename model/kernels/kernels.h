#pragma once

#include <cstdint>

namespace regroup::kernels {

// Row kernels for float32 (F) and bfloat16 (B, as uint16). Each runs over rows [begin, end), computes
// in float32, and is compiled for every target of include/regroup/model/simd.h. rope_row turns the heads of one token,
// in_stride elements from one to the next, into heads without a gap; half 0 copies them.
#define REGROUP_DECLARE_KERNELS(T)                                                              \
  void rms_norm_forward(const T* x, const T* delta, const T* weight, T* sum, T* y, float* rstd, \
                        int64_t begin, int64_t end, int64_t d, float eps);                      \
  void rms_norm_backward(const T* x, const T* weight, const float* rstd, const T* dy,           \
                         const T* dsum, T* dx, float* dweight, int64_t begin, int64_t end,      \
                         int64_t d);                                                            \
  void swiglu_forward(const T* gate_up, T* y, int64_t begin, int64_t end, int64_t f);           \
  void swiglu_backward(const T* gate_up, const T* dy, T* dgate_up, int64_t begin, int64_t end,  \
                       int64_t f);                                                              \
  void rope_row(const T* in, int64_t in_stride, T* out, const float* cos, const float* sin,     \
                float sign, int64_t n_heads, int64_t head_dim, int64_t half);

REGROUP_DECLARE_KERNELS(float)
REGROUP_DECLARE_KERNELS(uint16_t)
#undef REGROUP_DECLARE_KERNELS

/// Cross-entropy of rows [begin, end) of logits [*, v], which become scale * (softmax - onehot).
/// Rows whose target is negative count nothing and get a zero gradient.
/// @return the sum of their losses
double cross_entropy_rows(float* logits, const int64_t* targets, int64_t begin, int64_t end,
                          int64_t v, float scale);

}  // namespace regroup::kernels

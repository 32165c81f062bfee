#include "kernels.h"

#include <cmath>
#include <cstring>

#include "kernel_math.h"

namespace regroup::kernels {
namespace {

template <typename T>
REGROUP_INLINE void norm_forward(const T* x, const T* delta, const T* weight, T* sum, T* y,
                                 float* rstd, int64_t begin, int64_t end, int64_t d, float eps) {
  for (int64_t row = begin; row < end; ++row) {
    const T* in = x + row * d;
    if (delta != nullptr) {
      for (int64_t i = 0; i < d; ++i)
        store(sum + row * d + i, load(in + i) + load(delta + row * d + i));
      in = sum + row * d;
    }
    float lanes[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= d; i += kLanes) {
      for (int64_t j = 0; j < kLanes; ++j) lanes[j] += load(in + i + j) * load(in + i + j);
    }
    for (; i < d; ++i) lanes[0] += load(in + i) * load(in + i);
    const float scale = 1.0f / std::sqrt(sum_lanes(lanes) / static_cast<float>(d) + eps);
    rstd[row] = scale;
    for (i = 0; i < d; ++i) store(y + row * d + i, load(in + i) * scale * load(weight + i));
  }
}

/// dx = dsum + r * (w dy - x r^2 mean(w dy x));  dweight += dy x r
template <typename T>
REGROUP_INLINE void norm_backward(const T* x, const T* weight, const float* rstd, const T* dy,
                                  const T* dsum, T* dx, float* dweight, int64_t begin, int64_t end,
                                  int64_t d) {
  for (int64_t row = begin; row < end; ++row) {
    const T* in = x + row * d;
    const T* g = dy + row * d;
    const float r = rstd[row];
    float lanes[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= d; i += kLanes) {
      for (int64_t j = 0; j < kLanes; ++j) {
        lanes[j] += load(g + i + j) * load(weight + i + j) * load(in + i + j);
      }
    }
    for (; i < d; ++i) lanes[0] += load(g + i) * load(weight + i) * load(in + i);
    const float c = sum_lanes(lanes) * r * r / static_cast<float>(d);
    if (dweight != nullptr) {
      for (i = 0; i < d; ++i) dweight[i] += load(g + i) * load(in + i) * r;
    }
    for (i = 0; i < d; ++i) {
      const float own = r * (load(weight + i) * load(g + i) - load(in + i) * c);
      store(dx + row * d + i, dsum == nullptr ? own : own + load(dsum + row * d + i));
    }
  }
}

template <typename T>
REGROUP_INLINE void glu_forward(const T* gate_up, T* y, int64_t begin, int64_t end, int64_t f) {
  for (int64_t row = begin; row < end; ++row) {
    const T* gate = gate_up + row * 2 * f;
    const T* up = gate + f;
    for (int64_t i = 0; i < f; ++i) {
      const float g = load(gate + i);
      store(y + row * f + i, g / (1.0f + exp_fast(-g)) * load(up + i));
    }
  }
}

/// With s = sigmoid(g): d silu = s (1 + g (1 - s)).
template <typename T>
REGROUP_INLINE void glu_backward(const T* gate_up, const T* dy, T* dgate_up, int64_t begin,
                                 int64_t end, int64_t f) {
  for (int64_t row = begin; row < end; ++row) {
    const T* gate = gate_up + row * 2 * f;
    const T* up = gate + f;
    T* dgate = dgate_up + row * 2 * f;
    T* dup = dgate + f;
    for (int64_t i = 0; i < f; ++i) {
      const float g = load(gate + i);
      const float s = 1.0f / (1.0f + exp_fast(-g));
      const float upstream = load(dy + row * f + i);
      store(dgate + i, upstream * load(up + i) * s * (1.0f + g * (1.0f - s)));
      store(dup + i, upstream * g * s);
    }
  }
}

template <typename T>
REGROUP_INLINE void rotate(const T* in, T* out, const float* cos, const float* sin, float sign,
                           int64_t n_heads, int64_t head_dim, int64_t half) {
  for (int64_t head = 0; head < n_heads; ++head) {
    const T* a = in + head * head_dim;
    const T* b = a + half;
    T* c = out + head * head_dim;
    for (int64_t i = 0; i < half; ++i) {
      const float x = load(a + i);
      const float z = load(b + i);
      const float s = sign * sin[i];
      store(c + i, x * cos[i] - z * s);
      store(c + half + i, z * cos[i] + x * s);
    }
    for (int64_t i = 2 * half; i < head_dim; ++i) c[i] = a[i];
  }
}

}  // namespace

#define REGROUP_DEFINE_KERNELS(T)                                                                 \
  REGROUP_CLONES void rms_norm_forward(const T* x, const T* delta, const T* weight, T* sum, T* y, \
                                       float* rstd, int64_t begin, int64_t end, int64_t d,        \
                                       float eps) {                                               \
    norm_forward(x, delta, weight, sum, y, rstd, begin, end, d, eps);                             \
  }                                                                                               \
  REGROUP_CLONES void rms_norm_backward(const T* x, const T* weight, const float* rstd,           \
                                        const T* dy, const T* dsum, T* dx, float* dweight,        \
                                        int64_t begin, int64_t end, int64_t d) {                  \
    norm_backward(x, weight, rstd, dy, dsum, dx, dweight, begin, end, d);                         \
  }                                                                                               \
  REGROUP_CLONES void swiglu_forward(const T* gate_up, T* y, int64_t begin, int64_t end,          \
                                     int64_t f) {                                                 \
    glu_forward(gate_up, y, begin, end, f);                                                       \
  }                                                                                               \
  REGROUP_CLONES void swiglu_backward(const T* gate_up, const T* dy, T* dgate_up, int64_t begin,  \
                                      int64_t end, int64_t f) {                                   \
    glu_backward(gate_up, dy, dgate_up, begin, end, f);                                           \
  }                                                                                               \
  REGROUP_CLONES void rope_row(const T* in, T* out, const float* cos, const float* sin,           \
                               float sign, int64_t n_heads, int64_t head_dim, int64_t half) {     \
    rotate(in, out, cos, sin, sign, n_heads, head_dim, half);                                     \
  }

REGROUP_DEFINE_KERNELS(float)
REGROUP_DEFINE_KERNELS(uint16_t)

REGROUP_CLONES double cross_entropy_rows(float* logits, const int64_t* targets, int64_t begin,
                                         int64_t end, int64_t v, float scale) {
  double loss = 0;
  for (int64_t row = begin; row < end; ++row) {
    float* z = logits + row * v;
    const int64_t target = targets[row];
    if (target < 0) {
      std::memset(z, 0, static_cast<size_t>(v) * sizeof(float));
      continue;
    }
    float highest[kLanes];
    for (float& lane : highest) lane = z[0];
    int64_t i = 0;
    for (; i + kLanes <= v; i += kLanes) {
      for (int64_t j = 0; j < kLanes; ++j)
        highest[j] = z[i + j] > highest[j] ? z[i + j] : highest[j];
    }
    float most = highest[0];
    for (const float lane : highest) most = lane > most ? lane : most;
    for (; i < v; ++i) most = z[i] > most ? z[i] : most;
    const float picked = z[target];
    float lanes[kLanes] = {};
    for (i = 0; i + kLanes <= v; i += kLanes) {
      for (int64_t j = 0; j < kLanes; ++j) {
        const float e = exp_fast(z[i + j] - most);
        z[i + j] = e;
        lanes[j] += e;
      }
    }
    for (; i < v; ++i) {
      z[i] = exp_fast(z[i] - most);
      lanes[0] += z[i];
    }
    const float total = sum_lanes(lanes);
    loss += std::log(static_cast<double>(total)) + most - picked;
    const float factor = scale / total;
    for (i = 0; i < v; ++i) z[i] *= factor;
    z[target] -= scale;
  }
  return loss;
}

}  // namespace regroup::kernels

#include "kernels.h"

#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/kernels.cpp"
#include <hwy/foreach_target.h>

#include "kernel_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace regroup::kernels::HWY_NAMESPACE {

template <typename T>
void norm_forward(const T* x, const T* delta, const T* weight, T* sum, T* y, float* rstd,
                  int64_t begin, int64_t end, int64_t n, float eps) {
  for (int64_t row = begin; row < end; ++row) {
    const T* in = x + row * n;
    T* out = y + row * n;
    if (delta != nullptr) {
      const T* more = delta + row * n;
      T* total = sum + row * n;
      for_lanes(n, [=](auto d, int64_t i) HWY_ATTR {
        store(d, total + i, hn::Add(load(d, in + i), load(d, more + i)));
      });
      in = total;
    }
    const double squares = sum_lanes(n, [=](auto d, int64_t i) HWY_ATTR {
      const auto value = load(d, in + i);
      return hn::Mul(value, value);
    });
    const float r = 1.0f / std::sqrt(static_cast<float>(squares / static_cast<double>(n)) + eps);
    rstd[row] = r;
    for_lanes(n, [=](auto d, int64_t i) HWY_ATTR {
      store(d, out + i, hn::Mul(hn::Mul(load(d, in + i), hn::Set(d, r)), load(d, weight + i)));
    });
  }
}

/// dx = dsum + r * (w dy - x r^2 mean(w dy x));  dweight += dy x r
template <typename T>
void norm_backward(const T* x, const T* weight, const float* rstd, const T* dy, const T* dsum,
                   T* dx, float* dweight, int64_t begin, int64_t end, int64_t n) {
  for (int64_t row = begin; row < end; ++row) {
    const T* in = x + row * n;
    const T* up = dy + row * n;
    const T* direct = dsum == nullptr ? nullptr : dsum + row * n;
    T* out = dx + row * n;
    const float r = rstd[row];
    const double along = sum_lanes(n, [=](auto d, int64_t i) HWY_ATTR {
      return hn::Mul(hn::Mul(load(d, up + i), load(d, weight + i)), load(d, in + i));
    });
    const float c = static_cast<float>(along / static_cast<double>(n)) * r * r;
    if (dweight != nullptr) {
      for_lanes(n, [=](auto d, int64_t i) HWY_ATTR {
        const auto scaled = hn::Mul(load(d, in + i), hn::Set(d, r));
        store(d, dweight + i, hn::MulAdd(load(d, up + i), scaled, load(d, dweight + i)));
      });
    }
    for_lanes(n, [=](auto d, int64_t i) HWY_ATTR {
      const auto upstream = hn::Mul(load(d, weight + i), load(d, up + i));
      auto own = hn::Mul(hn::Set(d, r), hn::NegMulAdd(load(d, in + i), hn::Set(d, c), upstream));
      if (direct != nullptr) own = hn::Add(own, load(d, direct + i));
      store(d, out + i, own);
    });
  }
}

template <typename D, typename V = hn::Vec<D>>
HWY_INLINE V sigmoid(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, exp_any(d, hn::Neg(x))));
}

template <typename T>
void glu_forward(const T* gate_up, T* y, int64_t begin, int64_t end, int64_t f) {
  for (int64_t row = begin; row < end; ++row) {
    const T* gate = gate_up + row * 2 * f;
    const T* up = gate + f;
    T* out = y + row * f;
    for_lanes(f, [=](auto d, int64_t i) HWY_ATTR {
      const auto g = load(d, gate + i);
      store(d, out + i, hn::Mul(hn::Mul(g, sigmoid(d, g)), load(d, up + i)));
    });
  }
}

/// With s = sigmoid(g): d silu = s (1 + g (1 - s)).
template <typename T>
void glu_backward(const T* gate_up, const T* dy, T* dgate_up, int64_t begin, int64_t end,
                  int64_t f) {
  for (int64_t row = begin; row < end; ++row) {
    const T* gate = gate_up + row * 2 * f;
    const T* up = gate + f;
    const T* upstream = dy + row * f;
    T* dgate = dgate_up + row * 2 * f;
    T* dup = dgate + f;
    for_lanes(f, [=](auto d, int64_t i) HWY_ATTR {
      const auto one = hn::Set(d, 1.0f);
      const auto g = load(d, gate + i);
      const auto s = sigmoid(d, g);
      const auto dout_s = hn::Mul(load(d, upstream + i), s);
      const auto slope = hn::MulAdd(g, hn::Sub(one, s), one);
      store(d, dgate + i, hn::Mul(hn::Mul(dout_s, load(d, up + i)), slope));
      store(d, dup + i, hn::Mul(dout_s, g));
    });
  }
}

template <typename T>
void rotate(const T* in, int64_t in_stride, T* out, const float* cos, const float* sin, float sign,
            int64_t n_heads, int64_t head_dim, int64_t half) {
  for (int64_t head = 0; head < n_heads; ++head) {
    const T* a = in + head * in_stride;
    const T* b = a + half;
    T* c = out + head * head_dim;
    for_lanes(half, [=](auto d, int64_t i) HWY_ATTR {
      const auto x = load(d, a + i);
      const auto z = load(d, b + i);
      const auto turn = hn::LoadU(d, cos + i);
      const auto s = hn::Mul(hn::LoadU(d, sin + i), hn::Set(d, sign));
      store(d, c + i, hn::NegMulAdd(z, s, hn::Mul(x, turn)));
      store(d, c + half + i, hn::MulAdd(x, s, hn::Mul(z, turn)));
    });
    for (int64_t i = 2 * half; i < head_dim; ++i) c[i] = a[i];
  }
}

HWY_INLINE double cross_entropy_row(float* z, int64_t target, int64_t v, float scale) {
  const float max = highest(z, v);
  const float picked = z[target];
  const double total = sum_lanes(v, [=](auto d, int64_t i) HWY_ATTR {
    const auto e = exp_bounded(d, hn::Sub(hn::LoadU(d, z + i), hn::Set(d, max)));
    hn::StoreU(e, d, z + i);
    return e;
  });
  const auto factor = static_cast<float>(scale / total);
  for_lanes(v, [=](auto d, int64_t i) HWY_ATTR {
    hn::StoreU(hn::Mul(hn::LoadU(d, z + i), hn::Set(d, factor)), d, z + i);
  });
  z[target] -= scale;
  return std::log(total) + max - picked;
}

double CrossEntropyRows(float* logits, const int64_t* targets, int64_t begin, int64_t end,
                        int64_t v, float scale) {
  double loss = 0;
  for (int64_t row = begin; row < end; ++row) {
    float* z = logits + row * v;
    if (targets[row] < 0) {
      std::memset(z, 0, static_cast<size_t>(v) * sizeof(float));
    } else {
      loss += cross_entropy_row(z, targets[row], v, scale);
    }
  }
  return loss;
}

// HWY_EXPORT takes names, not templates.
#define REGROUP_TARGET_KERNELS(T, S)                                                               \
  void NormForward##S(const T* x, const T* delta, const T* weight, T* sum, T* y, float* rstd,      \
                      int64_t begin, int64_t end, int64_t d, float eps) {                          \
    norm_forward(x, delta, weight, sum, y, rstd, begin, end, d, eps);                              \
  }                                                                                                \
  void NormBackward##S(const T* x, const T* weight, const float* rstd, const T* dy, const T* dsum, \
                       T* dx, float* dweight, int64_t begin, int64_t end, int64_t d) {             \
    norm_backward(x, weight, rstd, dy, dsum, dx, dweight, begin, end, d);                          \
  }                                                                                                \
  void GluForward##S(const T* gate_up, T* y, int64_t begin, int64_t end, int64_t f) {              \
    glu_forward(gate_up, y, begin, end, f);                                                        \
  }                                                                                                \
  void GluBackward##S(const T* gate_up, const T* dy, T* dgate_up, int64_t begin, int64_t end,      \
                      int64_t f) {                                                                 \
    glu_backward(gate_up, dy, dgate_up, begin, end, f);                                            \
  }                                                                                                \
  void Rotate##S(const T* in, int64_t in_stride, T* out, const float* cos, const float* sin,       \
                 float sign, int64_t n_heads, int64_t head_dim, int64_t half) {                    \
    rotate(in, in_stride, out, cos, sin, sign, n_heads, head_dim, half);                           \
  }

REGROUP_TARGET_KERNELS(float, F32)
REGROUP_TARGET_KERNELS(uint16_t, Bf16)
#undef REGROUP_TARGET_KERNELS

}  // namespace regroup::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace regroup::kernels {

#define REGROUP_DEFINE_KERNELS(T, S)                                                              \
  HWY_EXPORT(NormForward##S);                                                                     \
  HWY_EXPORT(NormBackward##S);                                                                    \
  HWY_EXPORT(GluForward##S);                                                                      \
  HWY_EXPORT(GluBackward##S);                                                                     \
  HWY_EXPORT(Rotate##S);                                                                          \
  void rms_norm_forward(const T* x, const T* delta, const T* weight, T* sum, T* y, float* rstd,   \
                        int64_t begin, int64_t end, int64_t d, float eps) {                       \
    HWY_DYNAMIC_DISPATCH(NormForward##S)(x, delta, weight, sum, y, rstd, begin, end, d, eps);     \
  }                                                                                               \
  void rms_norm_backward(const T* x, const T* weight, const float* rstd, const T* dy,             \
                         const T* dsum, T* dx, float* dweight, int64_t begin, int64_t end,        \
                         int64_t d) {                                                             \
    HWY_DYNAMIC_DISPATCH(NormBackward##S)(x, weight, rstd, dy, dsum, dx, dweight, begin, end, d); \
  }                                                                                               \
  void swiglu_forward(const T* gate_up, T* y, int64_t begin, int64_t end, int64_t f) {            \
    HWY_DYNAMIC_DISPATCH(GluForward##S)(gate_up, y, begin, end, f);                               \
  }                                                                                               \
  void swiglu_backward(const T* gate_up, const T* dy, T* dgate_up, int64_t begin, int64_t end,    \
                       int64_t f) {                                                               \
    HWY_DYNAMIC_DISPATCH(GluBackward##S)(gate_up, dy, dgate_up, begin, end, f);                   \
  }                                                                                               \
  void rope_row(const T* in, int64_t in_stride, T* out, const float* cos, const float* sin,       \
                float sign, int64_t n_heads, int64_t head_dim, int64_t half) {                    \
    HWY_DYNAMIC_DISPATCH(Rotate##S)(in, in_stride, out, cos, sin, sign, n_heads, head_dim, half); \
  }

REGROUP_DEFINE_KERNELS(float, F32)
REGROUP_DEFINE_KERNELS(uint16_t, Bf16)

HWY_EXPORT(CrossEntropyRows);
double cross_entropy_rows(float* logits, const int64_t* targets, int64_t begin, int64_t end,
                          int64_t v, float scale) {
  return HWY_DYNAMIC_DISPATCH(CrossEntropyRows)(logits, targets, begin, end, v, scale);
}

}  // namespace regroup::kernels
#endif  // HWY_ONCE

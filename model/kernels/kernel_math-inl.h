// What the kernels share, compiled once for every target: hwy/foreach_target.h includes this file again for each,
// hence the guard that is switched back and forth.
#if defined(REGROUP_MODEL_KERNEL_MATH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef REGROUP_MODEL_KERNEL_MATH_INL_H
#undef REGROUP_MODEL_KERNEL_MATH_INL_H
#else
#define REGROUP_MODEL_KERNEL_MATH_INL_H
#endif

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace regroup::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Sums are added up lane by lane: the same bits whenever the target is the same, whatever the number of threads.
// Between targets the number of lanes and the fused multiply-add differ, and so do the last bits.
using Whole = hn::CappedTag<float, 16>;  // a vector of the target
using One = hn::CappedTag<float, 1>;     // what is left of a row
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(Whole()));

template <typename D>
HWY_INLINE hn::Vec<D> load(D d, const float* p) {
  return hn::LoadU(d, p);
}
template <typename D>
HWY_INLINE hn::Vec<D> load(D d, const uint16_t* p) {
  const hn::Rebind<uint16_t, D> narrow;
  const hn::Rebind<uint32_t, D> wide;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(wide, hn::LoadU(narrow, p))));
}
template <typename D>
HWY_INLINE void store(D d, float* p, hn::Vec<D> x) {
  hn::StoreU(x, d, p);
}
/// Rounds to the nearest bfloat16, to even between two; what is no number stays none.
template <typename D>
HWY_INLINE void store(D d, uint16_t* p, hn::Vec<D> x) {
  const hn::Rebind<uint16_t, D> narrow;
  const hn::Rebind<uint32_t, D> wide;
  const hn::Rebind<int32_t, D> for_demotion;
  (void)d;
  const auto bits = hn::BitCast(wide, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(wide, 1u));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(wide, 0x7FFFu)), odd));
  const auto number = hn::RebindMask(wide, hn::Eq(x, x));
  const auto kept = hn::IfThenElse(number, rounded, hn::Set(wide, 0x7FC0u));
  hn::StoreU(hn::DemoteTo(narrow, hn::BitCast(for_demotion, kept)), narrow, p);
}

/// e^x to about one unit in the last place (Cephes' expf polynomial) for x up to 88.3, without branches; at
/// least 1.2e-38, so that a sum of them has a logarithm. What is no number stays none.
template <typename D, typename V = hn::Vec<D>>
HWY_INLINE V exp_bounded(D d, V x) {
  const hn::RebindToSigned<D> integers;
  const V low = hn::Set(d, -87.3f);
  x = hn::IfThenElse(hn::Lt(x, low), low, x);  // Max would lose what is no number
  const V magic = hn::Set(d, 12582912.0f);  // 1.5 * 2^23: what is added to it rounds to an integer
  const V shifted = hn::MulAdd(x, hn::Set(d, 1.44269504088896341f), magic);
  const V n = hn::Sub(shifted, magic);
  const V r =
      hn::MulAdd(n, hn::Set(d, 2.12194440e-4f), hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x));
  V p = hn::Set(d, 1.9875691500e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::Add(hn::MulAdd(hn::Mul(p, r), r, r), hn::Set(d, 1.0f));
  // The low bits of `shifted` are n; the upper ones leave with the shift.
  const auto exponent =
      hn::Add(hn::ShiftLeft<23>(hn::BitCast(integers, shifted)), hn::Set(integers, 127 << 23));
  return hn::Mul(p, hn::BitCast(d, exponent));
}

/// The same for every x: infinite from 88.37 on.
template <typename D, typename V = hn::Vec<D>>
HWY_INLINE V exp_any(D d, V x) {
  const V infinity = hn::BitCast(d, hn::Set(hn::RebindToUnsigned<D>(), 0x7F800000u));
  return hn::IfThenElse(hn::Gt(x, hn::Set(d, 88.37f)), infinity, exp_bounded(d, x));
}

HWY_INLINE float exp_bounded(float x) {
  const One one;
  return hn::GetLane(exp_bounded(one, hn::Set(one, x)));
}

/// Calls body(d, i) for the elements [i, i + Lanes(d)) of a row, whole vectors first.
template <typename Body>
HWY_INLINE void for_lanes(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(Whole(), i);
  for (; i < n; ++i) body(One(), i);
}

constexpr int64_t kBlock = 512;  // terms that are added up in float32

/// The sum of term(d, i) over a row: in float32 within blocks and in float64 between them, so that few lanes lose
/// no more than many.
template <typename Term>
HWY_INLINE double sum_lanes(int64_t n, const Term& term) {
  const Whole d;
  const One one;
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = begin + kBlock < n ? begin + kBlock : n;
    auto even = hn::Zero(d);
    auto odd = hn::Zero(d);
    auto rest = hn::Zero(one);
    int64_t i = begin;
    for (; i + 2 * kLanes <= end; i += 2 * kLanes) {
      even = hn::Add(even, term(d, i));
      odd = hn::Add(odd, term(d, i + kLanes));
    }
    for (; i + kLanes <= end; i += kLanes) even = hn::Add(even, term(d, i));
    for (; i < end; ++i) rest = hn::Add(rest, term(one, i));
    total +=
        static_cast<double>(hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)))) + hn::GetLane(rest);
  }
  return total;
}

/// The largest of a row that is not empty.
HWY_INLINE float highest(const float* z, int64_t n) {
  const Whole d;
  auto max = hn::Set(d, z[0]);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) max = hn::Max(max, hn::LoadU(d, z + i));
  float found = hn::GetLane(hn::MaxOfLanes(d, max));
  for (; i < n; ++i) found = z[i] > found ? z[i] : found;
  return found;
}

}  // namespace regroup::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif

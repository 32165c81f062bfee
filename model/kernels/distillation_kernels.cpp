#include "distillation_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/distillation_kernels.cpp"
#include <hwy/foreach_target.h>

#include "kernel_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace regroup::kernels::HWY_NAMESPACE {

/// Partial sums of one pass over a pair of rows.
template <typename D>
struct PairSums {
  hn::Vec<D> student;     // exp(zs / T)
  hn::Vec<D> teacher;     // exp(zt / T)
  hn::Vec<D> untempered;  // exp(zs)
  hn::Vec<D> weighted;    // exp(zt / T) (zt - zs)
};

template <typename D>
HWY_INLINE PairSums<D> no_sums(D d) {
  return {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
}

struct PairScale {
  float zmost;
  float tmost;
  float inverse;  // 1 / T
};

/// With zs and zt the logits less their row's maximum: t becomes exp(zt / T), z becomes exp(zs) when
/// T is 1 and keeps its logits otherwise.
template <bool kTempered, typename D>
HWY_INLINE void add_pair(D d, float* z, float* t, const PairScale& scale, PairSums<D>& sums) {
  const auto inverse = hn::Set(d, scale.inverse);
  const auto zs = hn::Sub(hn::LoadU(d, z), hn::Set(d, scale.zmost));
  const auto zt = hn::Sub(hn::LoadU(d, t), hn::Set(d, scale.tmost));
  const auto es = exp_bounded(d, kTempered ? hn::Mul(zs, inverse) : zs);
  const auto et = exp_bounded(d, kTempered ? hn::Mul(zt, inverse) : zt);
  sums.student = hn::Add(sums.student, es);
  sums.teacher = hn::Add(sums.teacher, et);
  sums.weighted = hn::MulAdd(et, hn::Sub(zt, zs), sums.weighted);
  if (kTempered) sums.untempered = hn::Add(sums.untempered, exp_bounded(d, zs));
  hn::StoreU(et, d, t);
  if (!kTempered) hn::StoreU(es, d, z);
}

struct PairTotals {
  double student = 0;
  double teacher = 0;
  double untempered = 0;
  double weighted = 0;
};

HWY_INLINE double total_of(hn::Vec<Whole> whole, hn::Vec<One> rest) {
  return static_cast<double>(hn::GetLane(hn::SumOfLanes(Whole(), whole))) + hn::GetLane(rest);
}

/// In blocks, as sum_lanes.
template <bool kTempered>
HWY_INLINE PairTotals add_pairs(float* z, float* t, int64_t v, const PairScale& scale) {
  PairTotals totals;
  for (int64_t begin = 0; begin < v; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, v);
    PairSums<Whole> whole = no_sums(Whole());
    PairSums<One> rest = no_sums(One());
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) add_pair<kTempered>(Whole(), z + i, t + i, scale, whole);
    for (; i < end; ++i) add_pair<kTempered>(One(), z + i, t + i, scale, rest);
    totals.student += total_of(whole.student, rest.student);
    totals.teacher += total_of(whole.teacher, rest.teacher);
    totals.untempered += total_of(whole.untempered, rest.untempered);
    totals.weighted += total_of(whole.weighted, rest.weighted);
  }
  if (!kTempered) totals.untempered = totals.student;
  return totals;
}

template <bool kTempered>
HWY_INLINE void pair_row(float* z, float* t, int64_t target, int64_t v,
                         const DistillationFactors& f, DistillationTerms& terms) {
  const float inverse = 1.0f / f.temperature;
  const PairScale scale{highest(z, v), highest(t, v), inverse};
  const float picked = z[target] - scale.zmost;
  const auto [student, teacher, untempered, weighted] = add_pairs<kTempered>(z, t, v, scale);
  terms.ce += std::log(untempered) - picked;
  terms.kl += weighted / teacher / f.temperature + (std::log(student) - std::log(teacher));
  // p_s - p_t as (e_s r - e_t) / sum_t, with r exactly 1 where the rows are equal: the difference is
  // then exactly zero, with fused multiply-adds as without.
  const auto r = static_cast<float>(teacher / student);
  const auto of_kl = static_cast<float>(f.scale * f.kl_weight * f.temperature / teacher);
  const auto of_ce = static_cast<float>(f.scale * (1.0f - f.kl_weight) / untempered);
  for_lanes(v, [=](auto d, int64_t j) HWY_ATTR {
    auto es = hn::LoadU(d, z + j);
    auto e1 = es;
    if (kTempered) {
      const auto zs = hn::Sub(es, hn::Set(d, scale.zmost));
      es = exp_bounded(d, hn::Mul(zs, hn::Set(d, inverse)));
      e1 = exp_bounded(d, zs);
    }
    const auto difference = hn::MulSub(es, hn::Set(d, r), hn::LoadU(d, t + j));
    const auto ce = hn::Mul(hn::Set(d, of_ce), e1);
    hn::StoreU(hn::MulAdd(hn::Set(d, of_kl), difference, ce), d, z + j);
  });
  z[target] -= f.scale * (1.0f - f.kl_weight);
}

constexpr float kGone = -1e30f;  // exp_bounded makes it 1e-38

/// Takes the k ids out of the row: `picked` gets their logits less the maximum.
HWY_INLINE void take_out(float* z, const int32_t* ids, int64_t k, float max, float* picked) {
  for (int64_t i = 0; i < k; ++i) {
    picked[i] = z[ids[i]] - max;
    z[ids[i]] = kGone;
  }
}

HWY_INLINE void top_k_row(float* z, const int32_t* ids, const float* log_probs, float log_tail,
                          int64_t k, int64_t target, int64_t v, const DistillationFactors& f,
                          float* picked, DistillationTerms& terms) {
  const float max = highest(z, v);
  const float of_target = z[target] - max;
  const float inverse = 1.0f / f.temperature;
  take_out(z, ids, k, max, picked);
  // never a difference of large numbers
  const double rest = sum_lanes(v, [=](auto d, int64_t i) HWY_ATTR {
    const auto zs = hn::Sub(hn::LoadU(d, z + i), hn::Set(d, max));
    return exp_bounded(d, hn::Mul(zs, hn::Set(d, inverse)));
  });
  double untempered = sum_lanes(v, [=](auto d, int64_t i) HWY_ATTR {
    return exp_bounded(d, hn::Sub(hn::LoadU(d, z + i), hn::Set(d, max)));
  });
  double total = rest;
  for (int64_t i = 0; i < k; ++i) {
    total += exp_bounded(picked[i] * inverse);
    untempered += exp_bounded(picked[i]);
  }
  const double log_total = std::log(total);
  const float tail = exp_bounded(log_tail);
  const bool has_tail = k < v && log_tail > -80.0f;
  terms.ce += std::log(untempered) - of_target;
  if (has_tail) terms.kl += tail * (log_tail - (std::log(rest) - log_total));
  const float of_kl = f.scale * f.kl_weight * f.temperature;
  const auto of_ce = static_cast<float>(f.scale * (1.0f - f.kl_weight) / untempered);
  // An id of the tail: p_s - tail_t p_s / tail_s.
  const auto of_rest = static_cast<float>(of_kl * (1.0 / total - (has_tail ? tail / rest : 0.0)));
  for_lanes(v, [=](auto d, int64_t j) HWY_ATTR {
    const auto zs = hn::Sub(hn::LoadU(d, z + j), hn::Set(d, max));
    const auto tempered = exp_bounded(d, hn::Mul(zs, hn::Set(d, inverse)));
    const auto ce = hn::Mul(hn::Set(d, of_ce), exp_bounded(d, zs));
    hn::StoreU(hn::MulAdd(hn::Set(d, of_rest), tempered, ce), d, z + j);
  });
  for (int64_t i = 0; i < k; ++i) {
    const float p = exp_bounded(log_probs[i]);
    terms.kl += p * (log_probs[i] - (picked[i] * inverse - log_total));
    const double own = exp_bounded(picked[i] * inverse) / total;
    z[ids[i]] = of_kl * static_cast<float>(own - p) + of_ce * exp_bounded(picked[i]);
  }
  z[target] -= f.scale * (1.0f - f.kl_weight);
}

DistillationTerms Pairs(float* student, float* teacher, const int64_t* targets, int64_t begin,
                        int64_t end, int64_t v, const DistillationFactors& factors) {
  DistillationTerms terms;
  for (int64_t row = begin; row < end; ++row) {
    float* z = student + row * v;
    if (targets[row] < 0) {
      std::memset(z, 0, static_cast<size_t>(v) * sizeof(float));
    } else if (factors.temperature == 1.0f) {
      pair_row<false>(z, teacher + row * v, targets[row], v, factors, terms);
    } else {
      pair_row<true>(z, teacher + row * v, targets[row], v, factors, terms);
    }
  }
  return terms;
}

DistillationTerms TopK(float* student, const TopKRows& teacher, const int64_t* targets,
                       int64_t begin, int64_t end, int64_t v, const DistillationFactors& factors,
                       float* scratch) {
  DistillationTerms terms;
  for (int64_t row = begin; row < end; ++row) {
    float* z = student + row * v;
    if (targets[row] < 0) {
      std::memset(z, 0, static_cast<size_t>(v) * sizeof(float));
      continue;
    }
    top_k_row(z, teacher.ids + row * teacher.k, teacher.log_probs + row * teacher.k,
              teacher.log_tail[row], teacher.k, targets[row], v, factors, scratch, terms);
  }
  return terms;
}

}  // namespace regroup::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace regroup::kernels {

HWY_EXPORT(Pairs);
DistillationTerms distillation_rows(float* student, float* teacher, const int64_t* targets,
                                    int64_t begin, int64_t end, int64_t v,
                                    const DistillationFactors& factors) {
  return HWY_DYNAMIC_DISPATCH(Pairs)(student, teacher, targets, begin, end, v, factors);
}

HWY_EXPORT(TopK);
DistillationTerms distillation_top_k_rows(float* student, const TopKRows& teacher,
                                          const int64_t* targets, int64_t begin, int64_t end,
                                          int64_t v, const DistillationFactors& factors,
                                          float* scratch) {
  return HWY_DYNAMIC_DISPATCH(TopK)(student, teacher, targets, begin, end, v, factors, scratch);
}

}  // namespace regroup::kernels
#endif  // HWY_ONCE

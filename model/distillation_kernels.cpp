#include "distillation_kernels.h"

#include <cmath>
#include <cstring>

#include "kernel_math.h"

namespace regroup::kernels {
namespace {

REGROUP_INLINE float highest(const float* z, int64_t v) {
  float lanes[kLanes];
  for (float& lane : lanes) lane = z[0];
  int64_t i = 0;
  for (; i + kLanes <= v; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] = z[i + j] > lanes[j] ? z[i + j] : lanes[j];
  }
  float most = lanes[0];
  for (const float lane : lanes) most = lane > most ? lane : most;
  for (; i < v; ++i) most = z[i] > most ? z[i] : most;
  return most;
}

/// Partial sums of one pass over a pair of rows.
struct PairLanes {
  float student[kLanes] = {};     // exp(zs / T)
  float teacher[kLanes] = {};     // exp(zt / T)
  float untempered[kLanes] = {};  // exp(zs)
  float weighted[kLanes] = {};    // exp(zt / T) (zt - zs)
};

/// With zs and zt the logits less their row's maximum: t becomes exp(zt / T), z becomes exp(zs) when
/// T is 1 and keeps its logits otherwise.
template <bool kTempered>
REGROUP_INLINE void add_pair(float* z, float* t, float zmost, float tmost, float inverse,
                             PairLanes& lanes, int64_t lane) {
  const float zs = *z - zmost;
  const float zt = *t - tmost;
  const float es = exp_fast(kTempered ? zs * inverse : zs);
  const float et = exp_fast(kTempered ? zt * inverse : zt);
  lanes.student[lane] += es;
  lanes.teacher[lane] += et;
  lanes.weighted[lane] += et * (zt - zs);
  if (kTempered) lanes.untempered[lane] += exp_fast(zs);
  *t = et;
  if (!kTempered) *z = es;
}

template <bool kTempered>
REGROUP_INLINE void pair_row(float* __restrict z, float* __restrict t, int64_t target, int64_t v,
                             const DistillationFactors& f, DistillationTerms& terms) {
  const float zmost = highest(z, v);
  const float tmost = highest(t, v);
  const float picked = z[target] - zmost;
  const float inverse = 1.0f / f.temperature;
  PairLanes lanes;
  int64_t i = 0;
  for (; i + kLanes <= v; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) {
      add_pair<kTempered>(z + i + j, t + i + j, zmost, tmost, inverse, lanes, j);
    }
  }
  for (; i < v; ++i) add_pair<kTempered>(z + i, t + i, zmost, tmost, inverse, lanes, 0);
  const float student = sum_lanes(lanes.student);
  const float teacher = sum_lanes(lanes.teacher);
  const float untempered = kTempered ? sum_lanes(lanes.untempered) : student;
  terms.ce += std::log(static_cast<double>(untempered)) - picked;
  terms.kl += static_cast<double>(sum_lanes(lanes.weighted)) / teacher / f.temperature +
              (std::log(static_cast<double>(student)) - std::log(static_cast<double>(teacher)));
  // p_s - p_t as (e_s r - e_t) / sum_t, with r exactly 1 where the rows are equal: the difference is
  // then exactly zero, with fused multiply-adds as without.
  const float r = teacher / student;
  const float of_kl = f.scale * f.kl_weight * f.temperature / teacher;
  const float of_ce = f.scale * (1.0f - f.kl_weight) / untempered;
  for (i = 0; i < v; ++i) {
    const float es = kTempered ? exp_fast((z[i] - zmost) * inverse) : z[i];
    const float e1 = kTempered ? exp_fast(z[i] - zmost) : es;
    z[i] = of_kl * (es * r - t[i]) + of_ce * e1;
  }
  z[target] -= f.scale * (1.0f - f.kl_weight);
}

constexpr float kGone = -1e30f;  // exp_fast makes it 1e-38

/// Takes the k ids out of the row: `picked` gets their logits less the maximum.
REGROUP_INLINE void take_out(float* z, const int32_t* ids, int64_t k, float most, float* picked) {
  for (int64_t i = 0; i < k; ++i) {
    picked[i] = z[ids[i]] - most;
    z[ids[i]] = kGone;
  }
}

REGROUP_INLINE void top_k_row(float* __restrict z, const int32_t* ids, const float* log_probs,
                              float log_tail, int64_t k, int64_t target, int64_t v,
                              const DistillationFactors& f, float* __restrict picked,
                              DistillationTerms& terms) {
  const float most = highest(z, v);
  const float of_target = z[target] - most;
  const float inverse = 1.0f / f.temperature;
  take_out(z, ids, k, most, picked);
  float tempered[kLanes] = {};
  float plain[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= v; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) {
      tempered[j] += exp_fast((z[i + j] - most) * inverse);
      plain[j] += exp_fast(z[i + j] - most);
    }
  }
  for (; i < v; ++i) {
    tempered[0] += exp_fast((z[i] - most) * inverse);
    plain[0] += exp_fast(z[i] - most);
  }
  const float rest = sum_lanes(tempered);  // never a difference of large numbers
  float total = rest;
  float untempered = sum_lanes(plain);
  for (i = 0; i < k; ++i) {
    total += exp_fast(picked[i] * inverse);
    untempered += exp_fast(picked[i]);
  }
  const double log_total = std::log(static_cast<double>(total));
  const float tail = exp_fast(log_tail);
  const bool has_tail = k < v && log_tail > -80.0f;
  terms.ce += std::log(static_cast<double>(untempered)) - of_target;
  if (has_tail) terms.kl += tail * (log_tail - (std::log(static_cast<double>(rest)) - log_total));
  const float of_kl = f.scale * f.kl_weight * f.temperature;
  const float of_ce = f.scale * (1.0f - f.kl_weight) / untempered;
  // An id of the tail: p_s - tail_t p_s / tail_s.
  const float of_rest = of_kl * (1.0f / total - (has_tail ? tail / rest : 0.0f));
  for (int64_t j = 0; j < v; ++j) {
    z[j] = of_rest * exp_fast((z[j] - most) * inverse) + of_ce * exp_fast(z[j] - most);
  }
  for (i = 0; i < k; ++i) {
    const float p = exp_fast(log_probs[i]);
    terms.kl += p * (log_probs[i] - (picked[i] * inverse - log_total));
    z[ids[i]] = of_kl * (exp_fast(picked[i] * inverse) / total - p) + of_ce * exp_fast(picked[i]);
  }
  z[target] -= f.scale * (1.0f - f.kl_weight);
}

}  // namespace

REGROUP_CLONES DistillationTerms distillation_rows(float* student, float* teacher,
                                                   const int64_t* targets, int64_t begin,
                                                   int64_t end, int64_t v,
                                                   const DistillationFactors& factors) {
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

REGROUP_CLONES DistillationTerms distillation_top_k_rows(float* student, const TopKRows& teacher,
                                                         const int64_t* targets, int64_t begin,
                                                         int64_t end, int64_t v,
                                                         const DistillationFactors& factors,
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

}  // namespace regroup::kernels

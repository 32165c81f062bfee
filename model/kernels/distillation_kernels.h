#pragma once

#include <cstdint>

namespace regroup::kernels {

/// What rows add to the loss, not scaled.
struct DistillationTerms {
  double ce = 0;
  double kl = 0;
};

struct DistillationFactors {
  float scale;        ///< of every row
  float kl_weight;    ///< A
  float temperature;  ///< T
};

/// Rows [begin, end) of student [*, v] become scale * d/dz [(1 - A) CE + A T^2 KL(teacher || student)];
/// those of teacher [*, v] are overwritten. The gradient of the KL part is exactly zero where both rows
/// hold the same bits. A row whose target is negative counts nothing and gets a zero gradient.
DistillationTerms distillation_rows(float* student, float* teacher, const int64_t* targets,
                                    int64_t begin, int64_t end, int64_t v,
                                    const DistillationFactors& factors);

/// The teacher of a row as its k likeliest ids and the mass of all others.
struct TopKRows {
  const int32_t* ids;      ///< [*, k], different within a row
  const float* log_probs;  ///< [*, k] at temperature T
  const float* log_tail;   ///< [*]; -inf: nothing is left for the others
  int64_t k;
};

/// The same with KL over k + 1 buckets. `scratch` holds k floats.
DistillationTerms distillation_top_k_rows(float* student, const TopKRows& teacher,
                                          const int64_t* targets, int64_t begin, int64_t end,
                                          int64_t v, const DistillationFactors& factors,
                                          float* scratch);

}  // namespace regroup::kernels

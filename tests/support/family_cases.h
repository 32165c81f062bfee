#pragma once

#include <string>
#include <vector>

#include "support/tiny_model.h"

namespace regroup::testing {

/// A family, or a variant of one that computes otherwise, as a tiny random model: H, G, head_dim and H / G are different
/// numbers, biases are there where the family may have them.
struct FamilyCase {
  std::string name;
  TinyModelSpec spec;

  /// Whether there is anything to convert.
  bool converts() const { return spec.n_kv_heads > 1; }
  /// Whether a conversion is of the same class.
  bool keeps_class() const;
};

/// What family_proof_test.cpp proves things of, and what docs/families.md lists.
std::vector<FamilyCase> family_cases();

}  // namespace regroup::testing

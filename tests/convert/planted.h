#pragma once

#include <algorithm>
#include <cmath>

#include "convert/convert_tools.h"

namespace regroup::testing {

using Matrix = std::vector<double>;  // [d, d], row-major

inline Matrix transposed(const Matrix& m, int64_t d) {
  Matrix t(m.size());
  for (int64_t i = 0; i < d * d; ++i)
    t[static_cast<size_t>(i % d * d + i / d)] = m[static_cast<size_t>(i)];
  return t;
}

/// A random orthogonal matrix: Gram and Schmidt on normal rows.
inline Matrix orthogonal(int64_t d, Random& random) {
  Matrix m(static_cast<size_t>(d * d));
  const auto row = [&](int64_t r) { return m.data() + r * d; };
  for (int64_t r = 0; r < d; ++r) {
    for (int64_t i = 0; i < d; ++i) row(r)[i] = random.normal();
    for (int64_t before = 0; before <= r; ++before) {  // last: its own length
      double dot = 0;
      for (int64_t i = 0; i < d; ++i) dot += row(r)[i] * row(before)[i];
      for (int64_t i = 0; i < d; ++i) {
        row(r)[i] = before < r ? row(r)[i] - dot * row(before)[i] : row(r)[i] / std::sqrt(dot);
      }
    }
  }
  return m;
}

inline Matrix product(const Matrix& a, const Matrix& b, int64_t d) {
  Matrix out(a.size(), 0.0);
  const auto n = static_cast<size_t>(d);
  for (size_t i = 0; i < n; ++i)
    for (size_t k = 0; k < n; ++k)
      for (size_t j = 0; j < n; ++j) out[i * n + j] += a[i * n + k] * b[k * n + j];
  return out;
}

/// A matrix and its inverse.
struct Basis {
  Matrix encode;
  Matrix decode;
};

/// Any invertible matrix: two orthogonal ones with a stretch of 0.5 ... 1.5 between them.
inline Basis invertible(int64_t d, Random& random) {
  const Matrix left = orthogonal(d, random);
  const Matrix right = orthogonal(d, random);
  Matrix stretch(left.size(), 0.0);
  Matrix shrink(left.size(), 0.0);
  for (size_t i = 0; i < left.size(); i += static_cast<size_t>(d) + 1) {
    stretch[i] = 0.5 + random.uniform();
    shrink[i] = 1 / stretch[i];
  }
  return {product(product(left, stretch, d), right, d),
          product(product(transposed(right, d), shrink, d), transposed(left, d), d)};
}

/// All that commutes with a rotary embedding of the first r of d channels: a complex number a plane,
/// [[a, -b], [b, a]] on components (l, l + r / 2), and any matrix on the others. `encode` multiplies,
/// `decode` divides.
/// @param unit  lengths stay
inline Basis key_basis(int64_t d, int64_t r, bool unit, Random& random) {
  Basis planes{Matrix(static_cast<size_t>(d * d)), Matrix(static_cast<size_t>(d * d))};
  const auto set = [&](Matrix& m, int64_t l, double a, double b) {
    const int64_t h = l + r / 2;
    m[static_cast<size_t>(l * d + l)] = m[static_cast<size_t>(h * d + h)] = a;
    m[static_cast<size_t>(l * d + h)] = -b;
    m[static_cast<size_t>(h * d + l)] = b;
  };
  for (int64_t l = 0; l < r / 2; ++l) {
    const double angle = 6.283185307179586 * random.uniform();
    const double size = unit ? 1.0 : 0.5 + random.uniform();
    set(planes.encode, l, size * std::cos(angle), size * std::sin(angle));
    set(planes.decode, l, std::cos(angle) / size, -std::sin(angle) / size);
  }
  if (r == d) return planes;
  Basis rest;
  if (unit) {
    rest.encode = orthogonal(d - r, random);
    rest.decode = transposed(rest.encode, d - r);
  } else {
    rest = invertible(d - r, random);
  }
  for (int64_t i = 0; i < (d - r) * (d - r); ++i) {
    const auto from = static_cast<size_t>(i);
    const auto to = static_cast<size_t>((r + i / (d - r)) * d + r + i % (d - r));
    planes.encode[to] = rest.encode[from];
    planes.decode[to] = rest.decode[from];
  }
  return planes;
}

struct Change {
  const char* why;
  bool permute = false;
  bool turn_values = false;
  bool turn_keys = false;
  bool scale_keys = false;      // |c| other than 1
  bool stretch_values = false;  // any invertible matrix
};

/// Another basis for every head of every layer; the model stays the same function.
inline std::vector<LayerTransform> rebased(const ModelConfig& config, const Change& change) {
  Random random(7);
  std::vector<LayerTransform> layers;
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    LayerTransform t = identity_transform(config);
    for (size_t i = t.permutation.size(); change.permute && i > 1; --i) {
      std::swap(t.permutation[i - 1], t.permutation[random.below(i)]);
    }
    for (size_t head = 0; head < t.permutation.size(); ++head) {
      if (change.turn_values) {
        t.encode_value[head].dense = orthogonal(config.head_dim, random);
        t.decode_value[head].dense = transposed(t.encode_value[head].dense, config.head_dim);
      }
      if (change.stretch_values) {
        const Basis basis = invertible(config.head_dim, random);
        t.encode_value[head].dense = basis.encode;
        t.decode_value[head].dense = basis.decode;
      }
      if (change.turn_keys) {
        const Basis planes =
            key_basis(config.head_dim, config.rotary_dim, !change.scale_keys, random);
        t.encode_key[head].dense = planes.encode;
        t.decode_key[head].dense = planes.decode;
      }
    }
    layers.push_back(std::move(t));
  }
  return layers;
}

}  // namespace regroup::testing

#include "regroup/convert/legality.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "regroup/base/error.h"
#include "regroup/convert/head_channels.h"

namespace regroup {
namespace {

using Position = AttentionTraits::Position;

constexpr double kRoundingShare = 1e-9;  // of a matrix' largest entry

void require(bool holds, const std::string& rule) {
  if (!holds) throw ConfigError({.code = "TRANSFORM", .message = rule});
}

/// An entry of a matrix that breaks a rule.
struct Fault {
  size_t row;
  size_t column;
};

/// A dense matrix and the largest difference that counts as rounding.
class Dense {
 public:
  Dense(const HeadMatrix& matrix, size_t d) : entries_(matrix.dense), d_(d) {
    for (const double x : entries_) largest_ = std::max(largest_, std::abs(x));
  }
  double at(size_t row, size_t column) const { return entries_[row * d_ + column]; }
  bool equal(double found, double wanted) const {
    return std::abs(found - wanted) <= kRoundingShare * largest_;
  }
  size_t size() const { return d_; }

 private:
  const std::vector<double>& entries_;
  size_t d_;
  double largest_ = 0;
};

/// The other channel of each channel's plane; its own number outside of the planes.
std::vector<size_t> twins(const HeadChannels& channels) {
  std::vector<size_t> twin(static_cast<size_t>(channels.head_dim));
  for (size_t i = 0; i < twin.size(); ++i) twin[i] = i;
  for (size_t l = 0; l < channels.real.size(); ++l) {
    const auto re = static_cast<size_t>(channels.real[l]);
    const auto im = static_cast<size_t>(channels.imaginary[l]);
    twin[re] = im;
    twin[im] = re;
  }
  return twin;
}

/// The first entry that keeps `m` from acting on each plane by one complex number and on the rest apart.
std::optional<Fault> against_planes(const Dense& m, const std::vector<size_t>& twin) {
  for (size_t row = 0; row < m.size(); ++row) {
    for (size_t column = 0; column < m.size(); ++column) {
      const double found = m.at(row, column);
      double wanted = 0;
      if (twin[row] == row && twin[column] == column) {
        wanted = found;
      } else if (row == column) {
        wanted = m.at(twin[row], twin[row]);
      } else if (twin[row] == column) {
        wanted = -m.at(column, row);
      }
      if (!m.equal(found, wanted)) return Fault{row, column};
    }
  }
  return std::nullopt;
}

/// The first entry that keeps `m` from being unit rotations times one factor, in planes of equal gains.
std::optional<Fault> against_norm(const Dense& m, const std::vector<size_t>& twin,
                                  const QkNormGains& gains) {
  const auto alike = [&](const std::vector<double>& gain, size_t a, size_t b) {
    return a < gain.size() && b < gain.size() && gain[a] == gain[b];
  };
  std::optional<double> factor;
  for (size_t row = 0; row < m.size(); ++row) {
    const size_t other = twin[row];
    const bool may_turn =
        other != row && alike(gains.query, row, other) && alike(gains.key, row, other);
    const double size =
        other == row ? m.at(row, row) : std::hypot(m.at(row, row), m.at(row, other));
    if (!factor) factor = size;
    if (!m.equal(size, *factor)) return Fault{row, row};
    if (!may_turn && !m.equal(m.at(row, row), *factor)) return Fault{row, row};
    for (size_t column = 0; column < m.size(); ++column) {
      const bool free = column == row || (column == other && may_turn);
      if (!free && !m.equal(m.at(row, column), 0)) return Fault{row, column};
    }
  }
  return std::nullopt;
}

std::string planes_in_words(const ModelConfig& config) {
  const bool halves = config.attention.layout == AttentionTraits::Layout::kHalves;
  const std::string planes =
      halves ? fmt::format("(l, l + {})", config.rotary_dim / 2) : "(2l, 2l + 1)";
  return config.rotary_dim == config.head_dim
             ? fmt::format("turn each rotary plane {} by itself", planes)
             : fmt::format(
                   "turn each rotary plane {} of the first {} channels by itself and keep "
                   "the other channels apart",
                   planes, config.rotary_dim);
}

void check_sizes(const LayerTransform& transform, const ModelConfig& config) {
  const auto kv_heads = static_cast<size_t>(config.n_kv_heads);
  const auto heads = static_cast<size_t>(config.n_heads);
  LayerTransform sorted;
  sorted.permutation = transform.permutation;
  std::sort(sorted.permutation.begin(), sorted.permutation.end());
  require(sorted.permutation.size() == kv_heads && sorted.keeps_order(),
          fmt::format("a permutation of {} heads must name each once", kv_heads));
  require(transform.logit_gain.size() == heads && transform.output_gain.size() == heads,
          fmt::format("gains must be given for {} query heads", heads));
  require(transform.divisor != 0.0, "the divisor of a group must not be 0");
  const auto square = static_cast<size_t>(config.head_dim * config.head_dim);
  for (const auto* matrices : {&transform.encode_key, &transform.encode_value,
                               &transform.decode_key, &transform.decode_value}) {
    require(matrices->size() == kv_heads,
            fmt::format("matrices must be given for {} heads", kv_heads));
    for (const HeadMatrix& matrix : *matrices) {
      require(matrix.dense.empty() || matrix.dense.size() == square,
              fmt::format("a dense head matrix must have {} entries, found {}", square,
                          matrix.dense.size()));
      require(std::all_of(matrix.dense.begin(), matrix.dense.end(),
                          [](double x) { return std::isfinite(x); }),
              "head matrices must hold finite numbers");
    }
  }
}

void check_keys(const LayerTransform& transform, const ModelConfig& config, int64_t layer,
                const QkNormGains& gains) {
  const std::vector<size_t> twin = twins(head_channels(config));
  for (const auto* matrices : {&transform.encode_key, &transform.decode_key}) {
    for (size_t head = 0; head < matrices->size(); ++head) {
      const HeadMatrix& matrix = (*matrices)[head];
      if (matrix.dense.empty()) continue;
      const Dense m(matrix, twin.size());
      const auto refuse = [&](const Fault& fault, const std::string& rule) {
        require(false, fmt::format("layer {}, key head {}: the {} matrix must {}; found {} in row "
                                   "{}, column {}",
                                   layer, head,
                                   matrices == &transform.encode_key ? "encoding" : "decoding",
                                   rule, m.at(fault.row, fault.column), fault.row, fault.column));
      };
      if (const auto fault = against_planes(m, twin)) {
        refuse(*fault, planes_in_words(config) + ", or it does not commute with RoPE");
      }
      if (!config.attention.normalises_keys()) continue;
      require(
          config.attention.qk_norm == QkNorm::kHead,
          fmt::format("layer {}, key head {}: no matrix may mix channels, for each has a gain of "
                      "its own in the norm of {}",
                      layer, head,
                      config.attention.qk_norm == QkNorm::kWhole ? "all keys" : "its head"));
      if (const auto fault = against_norm(m, twin, gains)) {
        refuse(
            *fault,
            "be unit rotations times one factor, and only of planes whose two gains are equal, or "
            "it does not commute with QK-norm");
      }
    }
  }
  require(!config.attention.normalises_keys() || !transform.stretches_logits(),
          fmt::format("layer {}: logit gains must be 1, for QK-norm takes them away", layer));
}

/// Clipping sees every channel by itself, before it is decoded.
void check_clipped(const LayerTransform& transform, const ModelConfig& config, int64_t layer) {
  const auto plain = [](const HeadMatrix& matrix) { return matrix.dense.empty(); };
  const auto untouched = [](const HeadMatrix& matrix) { return matrix.is_identity(); };
  const auto all = [](const std::vector<HeadMatrix>& matrices, const auto& rule) {
    return std::all_of(matrices.begin(), matrices.end(), rule);
  };
  const bool exact = all(transform.encode_key, plain) && all(transform.encode_value, plain) &&
                     all(transform.decode_key, untouched) &&
                     all(transform.decode_value, untouched) && !transform.stretches_logits();
  require(exact, fmt::format("layer {}: the model clips queries, keys and values to {}, so that no "
                             "matrix may mix a head's channels and no gain stretch its queries",
                             layer, *config.clip_qkv));
}

}  // namespace

void check_transform(const LayerTransform& transform, const ModelConfig& config, int64_t layer,
                     const QkNormGains& gains) {
  check_sizes(transform, config);
  check_keys(transform, config, layer, gains);
  if (config.clip_qkv) check_clipped(transform, config, layer);
  if (config.attention.position == Position::kAlibi) {
    require(transform.keeps_order(),
            fmt::format("layer {}: heads must keep their order, for an ALiBi slope belongs to each "
                        "head's number; found {}",
                        layer, fmt::join(transform.permutation, ", ")));
  }
}

void check_transforms(std::span<const LayerTransform> transforms, const ModelConfig& config) {
  for (size_t layer = 0; layer < transforms.size(); ++layer) {
    check_transform(transforms[layer], config, static_cast<int64_t>(layer));
    if (config.attention.position != Position::kRelativeBias) continue;
    const std::vector<int64_t>& order = transforms[layer].permutation;
    require(order == transforms.front().permutation,
            fmt::format("layer {}: the order of heads must be that of layer 0 ({}), for all layers "
                        "share one table of relative position biases; found {}",
                        layer, fmt::join(transforms.front().permutation, ", "),
                        fmt::join(order, ", ")));
  }
}

std::string why_no_logit_gain(const ModelConfig& config) {
  if (config.attention.normalises_keys()) {
    return fmt::format("means nothing for {}: QK-norm takes the length of queries and keys away",
                       config.architecture);
  }
  if (config.clip_qkv) {
    return fmt::format("is not exact for {}: the model clips queries to {}", config.architecture,
                       *config.clip_qkv);
  }
  return {};
}

std::string why_illegal(Method method, Grouping grouping, const ModelConfig& config) {
  const bool moves = moves_heads(method, grouping);
  const bool turns = method == Method::kAlign || method == Method::kAlignNorm;
  const bool mixes = turns || method == Method::kPca;
  if (moves && config.attention.position == Position::kAlibi) {
    return "heads would change their order, and an ALiBi slope belongs to each head's number";
  }
  if (moves && config.attention.position == Position::kRelativeBias) {
    return "every layer would choose an order of heads of its own, and all layers share one table "
           "of "
           "relative position biases";
  }
  if (turns && config.attention.normalises_keys()) {
    return "turned planes do not commute with QK-norm, whose gains differ within a plane";
  }
  if (mixes && config.clip_qkv) {
    return fmt::format("it mixes a head's channels, and the model clips each to {}",
                       *config.clip_qkv);
  }
  return {};
}

}  // namespace regroup

#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <string>
#include <vector>

#include "regroup/model/load.h"
#include "support/devices.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {

/// Normal numbers that follow from the seed alone.
inline at::Tensor random_tensor(const std::vector<int64_t>& shape, uint64_t seed,
                                at::ScalarType dtype = at::kFloat, at::Device device = at::kCPU) {
  const at::Tensor values = at::empty(shape, at::kDouble);
  Random random(seed);
  double* p = values.data_ptr<double>();
  for (int64_t i = 0; i < values.numel(); ++i) p[i] = random.normal();
  return values.to(device, dtype);
}

inline at::Tensor random_ids(int64_t batch, int64_t seq, int64_t vocab, uint64_t seed) {
  std::vector<int64_t> ids(static_cast<size_t>(batch * seq));
  Random random(seed);
  for (int64_t& id : ids) id = static_cast<int64_t>(random.below(static_cast<uint64_t>(vocab)));
  return at::tensor(ids, at::kLong).view({batch, seq});
}

inline Decoder load_folder(const std::string& path, at::ScalarType dtype = at::kFloat,
                           at::Device device = at::kCPU) {
  return load_decoder(ModelFolder::open(path), dtype, device);
}

/// Logits of the whole sequence, [batch, seq, vocab] on the CPU in float64.
inline at::Tensor all_logits(const Decoder& decoder, const at::Tensor& ids) {
  return decoder.logits(decoder.hidden(ids.to(decoder.device()))).to(at::kCPU, at::kDouble);
}

/// max|a - b| / max|b|
inline double relative_error(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.detach().to(at::kCPU, at::kDouble);
  const at::Tensor y = b.detach().to(at::kCPU, at::kDouble);
  return x.sub(y).abs().max().item<double>() / y.abs().max().item<double>();
}

}  // namespace regroup::testing

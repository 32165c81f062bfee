#pragma once

#include <cstddef>
#include <cstdint>

namespace regroup::testing {

/// Each hands bytes that nobody vouches for to a reader. A bad input gives an Error; whatever else happens is a finding.
/// @return 0, as LLVMFuzzerTestOneInput does
/// @throws std::logic_error  the reader has accepted the input and contradicts itself

/// config.json.
int fuzz_config(const uint8_t* data, size_t size);
/// 8 bytes (the length of the data part, little-endian) and the header of a safetensors file; the same bytes as a file, too.
int fuzz_safetensors(const uint8_t* data, size_t size);
/// A Parquet file.
int fuzz_parquet(const uint8_t* data, size_t size);
/// A file of torch.save; the same bytes as its pickle, too.
int fuzz_torch(const uint8_t* data, size_t size);
/// tokenizer.json, a form feed (no JSON has one) and a text to encode; without a form feed the text is the end of the file.
int fuzz_tokenizer(const uint8_t* data, size_t size);

}  // namespace regroup::testing

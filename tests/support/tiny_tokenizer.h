#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace regroup::testing {

/// A field of a protobuf message that is itself bytes: a text or a message.
inline std::string proto_bytes(int field, const std::string& bytes) {
  std::string out(1, static_cast<char>(field << 3 | 2));
  for (size_t n = bytes.size();; n >>= 7) {
    out += static_cast<char>((n & 0x7F) | (n > 0x7F ? 0x80 : 0));
    if (n <= 0x7F) break;
  }
  return out + bytes;
}
inline std::string proto_small(int field, uint8_t number) {
  return {static_cast<char>(field << 3), static_cast<char>(number)};
}

/// A SentencePiece model (BPE) of a few pieces, as Llama's is made: <unk>, <s> and </s> come first, pieces
/// are worth the less the later they come, spaces are kept and one is put in front.
inline std::string tiny_sentencepiece(const std::vector<std::string>& pieces) {
  constexpr int kNormal = 1, kUnknown = 2, kControl = 3;
  std::string model;
  float score = 0;
  const auto add = [&](const std::string& piece, int type) {
    std::string message = proto_bytes(1, piece);
    const auto bits = std::bit_cast<uint32_t>(score);
    message += static_cast<char>(2 << 3 | 5);
    for (int shift = 0; shift < 32; shift += 8) message += static_cast<char>(bits >> shift & 0xFF);
    model += proto_bytes(1, message + proto_small(3, static_cast<uint8_t>(type)));
    score -= 1;
  };
  add("<unk>", kUnknown);
  add("<s>", kControl);
  add("</s>", kControl);
  for (const std::string& piece : pieces) add(piece, kNormal);
  constexpr uint8_t kBpe = 2;
  const std::string trainer = proto_small(3, kBpe);
  const std::string normalizer =
      proto_bytes(1, "identity") + proto_small(3, 1) + proto_small(4, 0) + proto_small(5, 1);
  return model + proto_bytes(2, trainer) + proto_bytes(3, normalizer);
}

}  // namespace regroup::testing

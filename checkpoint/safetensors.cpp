#include "regroup/checkpoint/safetensors.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"
#include "regroup/base/file_kind.h"
#include "regroup/base/input_file.h"

namespace regroup {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little endian");

void refuse_lookalike(std::string_view start, const std::string& path) {
  const auto kind = kind_by_start(start);
  if (!kind) return;
  throw CheckpointError(
      {.code = "ST_NOT_SAFETENSORS",
       .message = fmt::format("must be a safetensors file, but this is {}", kind->what),
       .path = path,
       .hint = std::string(kind->hint)});
}

}  // namespace

TensorTable read_safetensors_table(const InputFile& file) {
  const std::string& path = file.path();
  std::array<char, 32> start{};
  const auto known = static_cast<size_t>(std::min<int64_t>(file.size(), start.size()));
  file.read(0, std::as_writable_bytes(std::span(start).first(known)));
  const std::string_view first_bytes(start.data(), known);
  if (file.size() < 8) {
    refuse_lookalike(first_bytes, path);
    throw CheckpointError(
        {.code = "ST_TOO_SHORT",
         .message = fmt::format("a safetensors file needs at least 8 bytes, found {}", file.size()),
         .path = path,
         .hint = "the download may be incomplete; fetch the file again"});
  }
  uint64_t length = 0;
  std::memcpy(&length, start.data(), sizeof(length));
  const auto following = static_cast<uint64_t>(file.size() - 8);
  if (length > kMaxHeaderBytes || length > following) {
    refuse_lookalike(first_bytes, path);
    const bool too_large = length > kMaxHeaderBytes;
    throw CheckpointError(
        {.code = too_large ? "ST_HEADER_TOO_LARGE" : "ST_HEADER_PAST_EOF",
         .message = too_large ? fmt::format("declared header length {} must be at most {}", length,
                                            kMaxHeaderBytes)
                              : fmt::format("declared header length {} but only {} bytes follow",
                                            length, following),
         .path = path,
         .hint = "the download may be incomplete or the file may be damaged; fetch it again"});
  }
  std::string text(length, '\0');
  file.read(8, std::as_writable_bytes(std::span(text)));
  TensorTable header =
      parse_safetensors_header(text, static_cast<int64_t>(following - length), path);
  header.data_begin = static_cast<int64_t>(8 + length);
  return header;
}

SafetensorsFile::SafetensorsFile(InputFile file)
    : TensorFile(std::move(file), read_safetensors_table) {}

std::string make_safetensors_prefix(const std::vector<TensorSpec>& tensors,
                                    const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json root = nlohmann::ordered_json::object();
  if (!metadata.empty()) root["__metadata__"] = metadata;
  auto& members = root.get_ref<nlohmann::ordered_json::object_t&>();
  int64_t offset = 0;
  for (const TensorSpec& tensor : tensors) {
    const int64_t bytes = tensor_bytes(tensor.dtype, tensor.shape);
    members.emplace_back(tensor.name,
                         nlohmann::ordered_json{{"dtype", dtype_name(tensor.dtype)},
                                                {"shape", tensor.shape},
                                                {"data_offsets", {offset, offset + bytes}}});
    offset += bytes;
  }
  std::string header = root.dump();
  header.append((8 - header.size() % 8) % 8, ' ');
  const uint64_t length = header.size();
  std::string prefix(sizeof(length), '\0');
  std::memcpy(prefix.data(), &length, sizeof(length));
  return prefix + header;
}

}  // namespace regroup

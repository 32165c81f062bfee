#include "regroup/text/token_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "regroup/base/error.h"
#include "regroup/base/file_calls.h"
#include "regroup/base/file_descriptor.h"
#include "regroup/base/folder.h"
#include "regroup/base/input_file.h"
#include "regroup/base/output_file.h"
#include "regroup/base/path.h"
#include "regroup/base/placeholder.h"
#include "regroup/base/printable.h"

namespace regroup {
namespace {

using Header = std::array<int32_t, 256>;
constexpr int64_t kHeaderBytes = sizeof(Header);
constexpr int32_t kMagicV1 = 20240520;
constexpr int32_t kMagicV7 = 20240801;

[[noreturn]] void refuse(const char* code, const std::string& path, const std::string& message,
                         const std::string& hint = {}) {
  throw CheckpointError({.code = code, .message = message, .path = path, .hint = hint});
}

/// The number of ids a header declares: 32 bits in llm.c; the next field carries the upper half for
/// files that llm.c itself could not hold.
int64_t declared_tokens(const Header& header) {
  return static_cast<int64_t>(static_cast<uint32_t>(header[2]) |
                              static_cast<uint64_t>(static_cast<uint32_t>(header[3])) << 32);
}

void refuse_placeholder(const InputFile& file) {
  std::string start(static_cast<size_t>(std::min<int64_t>(file.size(), 32)), '\0');
  file.read(0, std::as_writable_bytes(std::span(start)));
  const auto found = find_placeholder(start);
  if (!found) return;
  refuse("TOKENS_FORMAT", file.path(),
         fmt::format("must be a token file, but this is {}", found->what), found->hint);
}

}  // namespace

TokenFile::TokenFile(const std::string& path, TokenFormat format) : file_(path) {
  refuse_placeholder(file_);
  if (format == TokenFormat::kNanogpt) {
    if (file_.size() % 2 != 0 || file_.size() == 0) {
      refuse("TOKENS_TRUNCATED", path,
             fmt::format("raw uint16 ids need an even number of bytes above 0, found {}",
                         file_.size()));
    }
    n_tokens_ = file_.size() / 2;
    return;
  }
  Header header{};
  const bool long_enough = file_.size() >= kHeaderBytes;
  if (long_enough) file_.read(0, std::as_writable_bytes(std::span(header)));
  const bool v1 = header[0] == kMagicV1 && header[1] == 1;
  const bool v7 = header[0] == kMagicV7 && header[1] == 7;
  if (!v1 && !v7) {
    refuse("TOKENS_FORMAT", path, "must be a token file with an llm.c header (version 1 or 7)",
           "text files end in .txt or .jsonl; for raw uint16 ids give `token-format` nanogpt");
  }
  width_ = v1 ? 2 : 4;
  data_begin_ = kHeaderBytes;
  n_tokens_ = declared_tokens(header);
  const int64_t present = (file_.size() - kHeaderBytes) / width_;
  if (n_tokens_ < 0 || n_tokens_ != present || (file_.size() - kHeaderBytes) % width_ != 0) {
    refuse("TOKENS_TRUNCATED", path,
           fmt::format("the header declares {} ids, the file holds {}", n_tokens_, present),
           "the file may be incomplete; make it again with `regroup tokenize`");
  }
}

void TokenFile::read(int64_t first, std::span<int64_t> out, int64_t vocab_size) const {
  std::vector<std::byte> raw(out.size() * static_cast<size_t>(width_));
  file_.read(data_begin_ + first * width_, raw);
  for (size_t i = 0; i < out.size(); ++i) {
    if (width_ == 2) {
      uint16_t id = 0;
      std::memcpy(&id, raw.data() + 2 * i, 2);
      out[i] = id;
    } else {
      uint32_t id = 0;
      std::memcpy(&id, raw.data() + 4 * i, 4);
      out[i] = id;
    }
    if (out[i] >= vocab_size) {
      refuse("TOKENS_RANGE", path(),
             fmt::format("every id must lie below the vocabulary of {}, found {} at index {}",
                         vocab_size, out[i], first + static_cast<int64_t>(i)),
             "the file was made with another model's tokenizer");
    }
  }
}

void TokenFile::require_vocabulary(int64_t vocab_size) const {
  if (n_tokens_ == 0) refuse("TOKENS_EMPTY", path(), "must hold at least one id, found none");
  std::vector<int64_t> block(1 << 20);
  for (int64_t at = 0; at < n_tokens_; at += static_cast<int64_t>(block.size())) {
    const auto n = std::min<int64_t>(n_tokens_ - at, static_cast<int64_t>(block.size()));
    read(at, std::span(block).first(static_cast<size_t>(n)), vocab_size);
  }
}

TokenFileWriter::TokenFileWriter(std::string path, int64_t vocab_size)
    : path_(std::move(path)),
      staging_(fmt::format("{}.tmp{}", path_, ::getpid())),
      width_(vocab_size <= 65536 ? 2 : 4),
      file_(std::make_unique<OutputFile>(staging_)) {
  const Header empty{};
  file_->write(std::as_bytes(std::span(empty)));
}

TokenFileWriter::~TokenFileWriter() {
  if (!finished_) ::unlink(staging_.c_str());
}

void TokenFileWriter::add(std::span<const int32_t> ids) {
  for (const int32_t id : ids) {
    const auto value = static_cast<uint32_t>(id);  // little endian: the low bytes come first
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    buffer_.insert(buffer_.end(), bytes, bytes + width_);
  }
  n_tokens_ += static_cast<int64_t>(ids.size());
  if (buffer_.size() >= (1 << 20)) flush();
}

void TokenFileWriter::flush() {
  file_->write(buffer_);
  buffer_.clear();
}

void TokenFileWriter::finish() {
  flush();
  file_->sync_and_close();
  Header header{};
  header[0] = width_ == 2 ? kMagicV1 : kMagicV7;
  header[1] = width_ == 2 ? 1 : 7;
  header[2] = static_cast<int32_t>(static_cast<uint32_t>(n_tokens_));
  header[3] = static_cast<int32_t>(static_cast<uint64_t>(n_tokens_) >> 32);
  const FileDescriptor fd(
      uninterrupted([this] { return ::open(staging_.c_str(), O_WRONLY | O_CLOEXEC); }));
  const bool written = uninterrupted([&] {
                         return ::pwrite(fd.get(), header.data(), kHeaderBytes, 0);
                       }) == kHeaderBytes;
  if (!written) throw_output_error(errno, "write", path_);
  sync_descriptor(fd.get(), path_);
  rename_path(staging_, path_, /*replace=*/true);
  finished_ = true;
  sync_folder(parent_folder(path_));
}

}  // namespace regroup

#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "regroup/base/input_file.h"
#include "regroup/base/output_file.h"
#include "regroup/base/setting.h"

namespace regroup {

/// How the ids of a token file are stored.
enum class TokenFormat {
  kAuto,     ///< llm.c, told apart by the header
  kLlmc,     ///< 1,024-byte header; version 1: uint16 ids, version 7: uint32 ids
  kNanogpt,  ///< uint16 ids, no header
};
template <>
struct Words<TokenFormat> {
  static constexpr auto all =
      std::to_array<Word<TokenFormat>>({{"auto", TokenFormat::kAuto},
                                        {"llmc", TokenFormat::kLlmc},
                                        {"nanogpt", TokenFormat::kNanogpt}});
};

/// Ids on disk, read where they are needed.
class TokenFile {
 public:
  /// @throws CheckpointError TOKENS_FORMAT, TOKENS_TRUNCATED
  explicit TokenFile(const std::string& path, TokenFormat format = TokenFormat::kAuto);
  int64_t size() const { return n_tokens_; }
  const std::string& path() const { return file_.path(); }
  /// Fills `out` with ids from index `first`.
  /// @throws CheckpointError TOKENS_RANGE when an id is not below `vocab_size`
  void read(int64_t first, std::span<int64_t> out, int64_t vocab_size) const;
  /// Reads every id once. @throws CheckpointError TOKENS_RANGE, TOKENS_EMPTY
  void require_vocabulary(int64_t vocab_size) const;

 private:
  InputFile file_;
  int64_t data_begin_ = 0;
  int64_t n_tokens_ = 0;
  int64_t width_ = 2;  // bytes of an id
};

/// Writes llm.c v1 (vocabularies up to 65,536) or v7, published by finish().
class TokenFileWriter {
 public:
  TokenFileWriter(std::string path, int64_t vocab_size);
  ~TokenFileWriter();
  void add(std::span<const int32_t> ids);
  int64_t size() const { return n_tokens_; }
  /// Writes the header, syncs and renames: the file is complete or absent.
  void finish();

 private:
  void flush();

  std::string path_;
  std::string staging_;
  int64_t width_;
  int64_t n_tokens_ = 0;
  bool finished_ = false;
  std::vector<std::byte> buffer_;
  std::unique_ptr<OutputFile> file_;
};

}  // namespace regroup

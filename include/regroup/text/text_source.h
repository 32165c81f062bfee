#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace regroup {

/// "a.jsonl.gz" -> "a.jsonl": the name without the extension of a compression that is undone.
std::string without_compression(const std::string& path);

/// The bytes of a file from its start to its end. What gzip or zstd did to them is undone block by block:
/// however much comes out, memory stays the same.
class TextSource {
 public:
  /// @throws CheckpointError  TEXT_COMPRESSED where a name says .gz or .zst and the bytes do not, or where
  ///                          the bytes say bzip2, xz, ZIP, Parquet or Arrow
  explicit TextSource(const std::string& path);
  TextSource(TextSource&&) noexcept;
  ~TextSource();
  /// Fills the front of `out`. @return how many bytes, 0 at the end
  /// @throws CheckpointError TEXT_COMPRESSED for damaged or unfinished data
  size_t read(std::span<std::byte> out);
  /// Share of the file's bytes that were read, in [0, 1].
  double share() const;

  struct Stream;  ///< one for each kind of file

 private:
  std::unique_ptr<Stream> stream_;
};

}  // namespace regroup

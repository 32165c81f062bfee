#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace regroup {

/// SHA-256 (OpenSSL), for files: `sha256sum` gives the same.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  void update(std::span<const std::byte> bytes);
  std::string hex();  ///< once, at the end

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// XXH3-128, for tensors: fast enough to be taken of every one.
class Xxh3 {
 public:
  Xxh3();
  ~Xxh3();
  Xxh3(Xxh3&&) noexcept;
  Xxh3& operator=(Xxh3&&) noexcept;
  void update(std::span<const std::byte> bytes);
  std::string hex();  ///< as `xxhsum -H2` prints it

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_of_text(std::string_view text);
/// @throws CheckpointError when the file cannot be read
std::string sha256_of_file(const std::string& path);

}  // namespace regroup

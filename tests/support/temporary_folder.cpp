#include "support/temporary_folder.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>

namespace regroup::testing {
namespace fs = std::filesystem;

namespace {

/// Memory instead of a disk where there is enough of it: thousands of tiny files take a tenth of the
/// time. TMPDIR decides when it is set.
fs::path temporary_root() {
  const fs::path memory = "/dev/shm";
  std::error_code error;
  const auto free = fs::space(memory, error).available;
  const bool roomy = !error && free > (uintmax_t{1} << 30) && free != static_cast<uintmax_t>(-1);
  return roomy && std::getenv("TMPDIR") == nullptr ? memory : fs::temp_directory_path();
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string name = (temporary_root() / "regroup-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot create " + name);
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string TemporaryFolder::write(std::string_view name, std::string_view bytes) const {
  const std::string path = *this / name;
  write_file(path, bytes);
  return path;
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (!out) throw std::runtime_error("cannot write " + path);
}

std::string read_tree(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      files[fs::relative(entry.path(), folder).string()] = read_file(entry.path().string());
    }
  }
  std::string text;
  for (const auto& [name, bytes] : files) {
    text += name + "\n" + std::to_string(bytes.size()) + "\n" + bytes + "\n";
  }
  return text;
}

}  // namespace regroup::testing

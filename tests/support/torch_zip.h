#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace regroup::testing {

/// A file in a ZIP archive.
struct ZippedFile {
  std::string name;
  std::string bytes;
  uint32_t crc = 0;  ///< 0: not computed
};

enum class Zip64 {
  kNone,
  kFull,   ///< sizes and places stand in ZIP64 records alone
  kBeside  ///< the end has them in a ZIP64 record too, as PyTorch writes it
};

/// A ZIP archive that stores its files as they are, as torch.save writes it.
std::string stored_zip(const std::vector<ZippedFile>& files, Zip64 kind = Zip64::kNone);

/// Opcodes of a pickle of protocol 2.
namespace pickled {
std::string text(const std::string& value);
std::string number(int32_t value);
std::string global(const std::string& module, const std::string& name);
std::string tuple(const std::vector<std::string>& items);
/// ("storage", TYPE, KEY, "cpu", COUNT) as a persistent id
std::string storage(const std::string& type, const std::string& key, int32_t count);
/// _rebuild_tensor_v2(storage, offset, shape, strides, False, OrderedDict())
std::string tensor(const std::string& storage, int32_t offset, const std::vector<int32_t>& shape,
                   const std::vector<int32_t>& strides);
/// A whole pickle: an OrderedDict of names and values.
std::string dictionary(const std::vector<std::pair<std::string, std::string>>& items);
}  // namespace pickled

/// A file of torch.save: its pickle and the bytes of storages "0", "1" ...
std::string torch_zip(const std::string& pickle, const std::vector<std::string>& storages,
                      const std::string& byteorder = "little");

}  // namespace regroup::testing

#include "support/torch_zip.h"

#include <cstring>

namespace regroup::testing {
namespace {

template <typename T>
std::string little(T value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

/// What the directory and the local header say alike: flags, method, time, date, checksum, sizes, length of the name.
std::string common(const ZippedFile& file, bool zip64) {
  const auto size = zip64 ? UINT32_MAX : static_cast<uint32_t>(file.bytes.size());
  return little<uint16_t>(0) + little<uint16_t>(0) + little<uint32_t>(0) + little(file.crc) +
         little(size) + little(size) + little(static_cast<uint16_t>(file.name.size()));
}

std::string zip64_field(uint64_t size, const uint64_t* place) {
  const std::string sizes = little(size) + little(size);
  const std::string values = place == nullptr ? sizes : sizes + little(*place);
  return little<uint16_t>(1) + little(static_cast<uint16_t>(values.size())) + values;
}

}  // namespace

std::string stored_zip(const std::vector<ZippedFile>& files, Zip64 kind) {
  const bool zip64 = kind == Zip64::kFull;
  std::string archive;
  std::string directory;
  for (const ZippedFile& file : files) {
    const uint64_t place = archive.size();
    const std::string local = zip64 ? zip64_field(file.bytes.size(), nullptr) : std::string();
    archive += "PK\3\4" + little<uint16_t>(20) + common(file, zip64) +
               little(static_cast<uint16_t>(local.size())) + file.name + local + file.bytes;
    const std::string extra = zip64 ? zip64_field(file.bytes.size(), &place) : std::string();
    directory += "PK\1\2" + little<uint16_t>(20) + little<uint16_t>(20) + common(file, zip64) +
                 little(static_cast<uint16_t>(extra.size())) + std::string(10, '\0') +
                 little(zip64 ? UINT32_MAX : static_cast<uint32_t>(place)) + file.name + extra;
  }
  const auto count = static_cast<uint64_t>(files.size());
  const auto begin = static_cast<uint64_t>(archive.size());
  const auto bytes = static_cast<uint64_t>(directory.size());
  archive += directory;
  if (kind != Zip64::kNone) {
    const uint64_t end = archive.size();
    archive += "PK\6\6" + little<uint64_t>(44) + little<uint16_t>(45) + little<uint16_t>(45) +
               little<uint32_t>(0) + little<uint32_t>(0) + little(count) + little(count) +
               little(bytes) + little(begin);
    archive += "PK\6\7" + little<uint32_t>(0) + little(end) + little<uint32_t>(1);
  }
  const auto short_count = static_cast<uint16_t>(zip64 ? UINT16_MAX : count);
  archive += "PK\5\6" + std::string(4, '\0') + little(short_count) + little(short_count) +
             little(zip64 ? UINT32_MAX : static_cast<uint32_t>(bytes)) +
             little(zip64 ? UINT32_MAX : static_cast<uint32_t>(begin)) + little<uint16_t>(0);
  return archive;
}

namespace pickled {

std::string text(const std::string& value) {
  return "X" + little(static_cast<uint32_t>(value.size())) + value;
}
std::string number(int32_t value) { return "J" + little(value); }
std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
std::string tuple(const std::vector<std::string>& items) {
  std::string made = "(";
  for (const std::string& item : items) made += item;
  return made + "t";
}
std::string storage(const std::string& type, const std::string& key, int32_t count) {
  return tuple({text("storage"), global("torch", type), text(key), text("cpu"), number(count)}) +
         "Q";
}
std::string tensor(const std::string& storage, int32_t offset, const std::vector<int32_t>& shape,
                   const std::vector<int32_t>& strides) {
  const auto numbers = [](const std::vector<int32_t>& values) {
    std::vector<std::string> items;
    for (const int32_t value : values) items.push_back(number(value));
    return tuple(items);
  };
  return global("torch._utils", "_rebuild_tensor_v2") +
         tuple({storage, number(offset), numbers(shape), numbers(strides), "\x89",
                global("collections", "OrderedDict") + ")R"}) +
         "R";
}
std::string dictionary(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string made = "\x80\x02" + global("collections", "OrderedDict") + ")R(";
  for (const auto& [name, value] : items) made += text(name) + value;
  return made + "u.";
}

}  // namespace pickled

std::string torch_zip(const std::string& pickle, const std::vector<std::string>& storages,
                      const std::string& byteorder) {
  std::vector<ZippedFile> files = {{"model/data.pkl", pickle}, {"model/byteorder", byteorder}};
  for (size_t i = 0; i < storages.size(); ++i) {
    files.push_back({"model/data/" + std::to_string(i), storages[i]});
  }
  return stored_zip(files);
}

}  // namespace regroup::testing

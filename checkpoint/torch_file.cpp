#include "torch_file.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <tuple>

#include "pickle.h"
#include "regroup/base/error.h"
#include "regroup/base/file_kind.h"
#include "regroup/base/notice.h"
#include "regroup/base/printable.h"
#include "regroup/base/utf8.h"
#include "zip_archive.h"

namespace regroup {
namespace {

using pickle::Value;
using Kind = Value::Kind;

constexpr int64_t kMaxPickleBytes = 16 << 20;
constexpr std::string_view kPickleName = "data.pkl";
constexpr const char* kFetchFile = "the file is damaged; fetch it again";
constexpr const char* kSaveAsSafetensors =
    "load it with PyTorch where you trust it and save the model as safetensors";

struct StorageType {
  std::string_view name;
  Dtype dtype;
};
constexpr auto kStorageTypes = std::to_array<StorageType>({
    {"torch.FloatStorage", Dtype::kF32},
    {"torch.HalfStorage", Dtype::kF16},
    {"torch.BFloat16Storage", Dtype::kBF16},
    {"torch.DoubleStorage", Dtype::kF64},
    {"torch.LongStorage", Dtype::kI64},
    {"torch.IntStorage", Dtype::kI32},
    {"torch.ShortStorage", Dtype::kI16},
    {"torch.CharStorage", Dtype::kI8},
    {"torch.ByteStorage", Dtype::kU8},
    {"torch.BoolStorage", Dtype::kBool},
});
constexpr std::string_view kTensor = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view kParameter = "torch._utils._rebuild_parameter";

std::vector<std::string_view> allowed_globals() {
  std::vector<std::string_view> names = {"collections.OrderedDict", kTensor, kParameter};
  for (const StorageType& type : kStorageTypes) names.push_back(type.name);
  return names;
}

[[noreturn]] void refuse(const InputFile& file, const char* code, const std::string& message,
                         const std::string& tensor = {}) {
  throw CheckpointError({.code = code,
                         .message = message,
                         .path = file.path(),
                         .tensor = tensor,
                         .hint = kFetchFile});
}

[[noreturn]] void refuse_kind(const InputFile& file, const char* code, const std::string& message,
                              const std::string& tensor = {}) {
  throw UnsupportedError({.code = code,
                          .message = message,
                          .path = file.path(),
                          .tensor = tensor,
                          .hint = kSaveAsSafetensors});
}

std::string start_of(const InputFile& file) {
  std::string start(static_cast<size_t>(std::min<int64_t>(file.size(), 32)), '\0');
  file.read(0, std::as_writable_bytes(std::span(start)));
  return start;
}

/// A page of an error, a pointer to the weights, or weights of another format.
void refuse_other_kind(const InputFile& file, std::string_view start) {
  const auto kind = kind_by_start(start);
  if (!kind || kind->pickled) return;
  throw CheckpointError(
      {.code = "TORCH_NOT_WEIGHTS",
       .message = fmt::format("must be a file of torch.save, but this is {}", kind->what),
       .path = file.path(),
       .hint = std::string(kind->hint)});
}

/// The archive's files by their names in the one folder that holds them.
class Archive {
 public:
  explicit Archive(const InputFile& file) : file_(file) {
    const std::string start = start_of(file);
    refuse_other_kind(file, start);
    if (start.starts_with("\x80\x02") || start.starts_with("\x80\x04")) {
      refuse_kind(file, "PICKLE_LEGACY",
                  "is in the format that torch.save wrote before PyTorch 1.6");
    }
    entries_ = read_zip_entries(file);
    if (!has_checksums(entries_)) {
      notice(fmt::format("{}: has no checksums; what it says of its tensors is not checked",
                         printable(file.path())));
    }
    const auto pickle = std::find_if(entries_.begin(), entries_.end(), [](const ZipEntry& entry) {
      return entry.name.ends_with("/data.pkl");
    });
    if (pickle == entries_.end()) {
      refuse(file, "ZIP_NAME", "must hold FOLDER/data.pkl, as torch.save writes it, found none");
    }
    folder_ = pickle->name.substr(0, pickle->name.size() - kPickleName.size());
    for (const ZipEntry& entry : entries_) {
      if (!entry.name.starts_with(folder_)) {
        refuse(file, "ZIP_NAME",
               fmt::format("must hold files of {} alone, found {}", printable(folder_, 60),
                           printable(entry.name, 60)));
      }
      by_name_[std::string_view(entry.name).substr(folder_.size())] = &entry;
    }
  }

  const ZipEntry* find(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
  }
  /// @throws UnsupportedError ZIP_COMPRESSED
  void require_stored() const {
    for (const ZipEntry& entry : entries_) {
      if (entry.is_stored) continue;
      refuse_kind(file_, "ZIP_COMPRESSED",
                  fmt::format("its file {} is packed or encrypted; torch.save stores files as they "
                              "are",
                              printable(entry.name, 100)));
    }
  }
  /// @throws CheckpointError ZIP_LIMIT, ZIP_CRC
  std::string read(const ZipEntry& entry) const {
    if (entry.bytes > kMaxPickleBytes) {
      refuse(file_, "ZIP_LIMIT",
             fmt::format("{} must have at most {} bytes, found {}", printable(entry.name, 60),
                         kMaxPickleBytes, entry.bytes));
    }
    std::string text(static_cast<size_t>(entry.bytes), '\0');
    file_.read(entry.begin, std::as_writable_bytes(std::span(text)));
    const auto sum = static_cast<uint32_t>(
        ::crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size())));
    if (entry.crc != sum && has_checksums(entries_)) {
      refuse(file_, "ZIP_CRC",
             fmt::format("the checksum of {} must be {:08x}, found {:08x}",
                         printable(entry.name, 60), entry.crc, sum));
    }
    return text;
  }

 private:
  const InputFile& file_;
  std::vector<ZipEntry> entries_;
  std::string folder_;
  std::map<std::string_view, const ZipEntry*> by_name_;
};

/// What a pickle of torch.save says of tensors, held against the archive's files.
class StateDict {
 public:
  StateDict(const InputFile& file, const Archive& archive, const pickle::Values& values)
      : file_(file), archive_(archive), values_(values) {}

  std::vector<TensorInfo> tensors() const {
    if (values_.root.kind != Kind::kDictionary) {
      refuse_kind(file_, "PICKLE_UNSUPPORTED", "must hold a dictionary of tensors");
    }
    const std::vector<Value>& items = values_.items(values_.root);
    if (static_cast<int64_t>(items.size()) > 2 * kMaxTensorsPerFile) {
      refuse(file_, "PICKLE_LIMIT",
             fmt::format("must hold at most {} tensors, found {}", kMaxTensorsPerFile,
                         items.size() / 2));
    }
    std::map<std::string_view, TensorInfo> tensors;
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      const std::string_view name = require_name(items[i]);
      tensors[name] = tensor(std::string(name), items[i + 1]);  // the last one counts, as in Python
    }
    std::vector<TensorInfo> sorted;
    for (auto& [name, info] : tensors) sorted.push_back(std::move(info));
    std::sort(sorted.begin(), sorted.end(), [](const TensorInfo& a, const TensorInfo& b) {
      return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
    });
    return sorted;
  }

 private:
  std::string_view require_name(const Value& key) const {
    if (key.kind != Kind::kText) {
      refuse_kind(file_, "PICKLE_UNSUPPORTED", "must call every tensor by a text");
    }
    const bool fits = !key.text.empty() && key.text.size() <= kMaxNameBytes && is_utf8(key.text);
    const bool plain = std::none_of(key.text.begin(), key.text.end(), [](char c) {
      return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
    });
    if (!fits || !plain) {
      refuse(file_, "PICKLE_STRUCT",
             fmt::format("a tensor must have a name of 1 to {} bytes of plain text, found \"{}\"",
                         kMaxNameBytes, printable(key.text, 60)));
    }
    return key.text;
  }

  TensorInfo tensor(const std::string& name, const Value& given) const {
    const Value* value = &given;
    if (is_call(*value, kParameter)) value = &argument(*value, 0, Kind::kCall, name);
    if (!is_call(*value, kTensor)) {
      const bool nested = value->kind == Kind::kDictionary;
      refuse_kind(file_, "PICKLE_UNSUPPORTED",
                  nested ? "holds a dictionary where a tensor must be: the weights lie deeper"
                         : "holds something else where a tensor must be",
                  name);
    }
    return view(name, *value);
  }

  /// _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks[, metadata])
  TensorInfo view(const std::string& name, const Value& call) const {
    require_plain(call, name);
    const Storage storage = storage_of(argument(call, 0, Kind::kPersistent, name), name);
    const int64_t offset = argument(call, 1, Kind::kInteger, name).integer;
    const std::vector<int64_t> shape = sizes(argument(call, 2, Kind::kTuple, name), name);
    const std::vector<int64_t> strides = sizes(argument(call, 3, Kind::kTuple, name), name);
    if (strides.size() != shape.size() || offset < 0) {
      refuse(file_, "PICKLE_STRUCT",
             "must have a stride for each dimension and begin at 0 or behind", name);
    }
    const int64_t count = elements(shape, storage.elements, name);
    if (offset > storage.elements - count) {
      refuse(file_, "PICKLE_STORAGE",
             fmt::format("must lie inside its storage of {} elements, found {} from {} on",
                         storage.elements, count, offset),
             name);
    }
    require_rows(shape, strides, count, name);
    const int64_t width = dtype_bits(storage.dtype) / 8;
    const int64_t begin = storage.begin + offset * width;
    return {.name = name,
            .dtype = storage.dtype,
            .shape = shape,
            .begin = begin,
            .end = begin + count * width};
  }

  /// Metadata says that values stand for others: negated, conjugated.
  void require_plain(const Value& call, const std::string& name) const {
    const std::vector<Value>& arguments = values_.items(call);
    if (arguments.size() < 7 || arguments[6].kind == Kind::kNone) return;
    const bool empty =
        arguments[6].kind == Kind::kDictionary && values_.items(arguments[6]).empty();
    if (!empty) refuse_kind(file_, "PICKLE_UNSUPPORTED", "must have no metadata, found some", name);
  }

  int64_t elements(const std::vector<int64_t>& shape, int64_t max, const std::string& name) const {
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
    int64_t count = 1;
    for (const int64_t size : shape) {
      if (size > max / count) {
        refuse(file_, "PICKLE_STORAGE",
               fmt::format("must fit its storage of {} elements, found more", max), name);
      }
      count *= size;
    }
    return count;
  }

  /// Row by row, the last dimension first: how torch.save keeps all but views.
  void require_rows(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides,
                    int64_t count, const std::string& name) const {
    int64_t expected = 1;
    for (size_t i = shape.size(); i-- > 0 && count > 0;) {
      if (shape[i] != 1 && strides[i] != expected) {
        refuse_kind(file_, "PICKLE_VIEW",
                    "must lie row by row, found a view, such as a transposed tensor", name);
      }
      expected *= shape[i];
    }
  }

  struct Storage {
    Dtype dtype;
    int64_t begin;
    int64_t elements;
  };
  /// ("storage", type, key, device, elements); its bytes are the file data/KEY.
  Storage storage_of(const Value& persistent, const std::string& name) const {
    const Value& id = values_.items(persistent).front();
    const bool sound = id.kind == Kind::kTuple && values_.items(id).size() >= 5 &&
                       values_.items(id)[0].text == "storage" &&
                       values_.items(id)[1].kind == Kind::kGlobal &&
                       values_.items(id)[2].kind == Kind::kText &&
                       values_.items(id)[2].text.size() <= kMaxNameBytes &&
                       values_.items(id)[4].kind == Kind::kInteger;
    if (!sound) refuse(file_, "PICKLE_STRUCT", "must name a storage of torch.save", name);
    const std::vector<Value>& parts = values_.items(id);
    const auto type = std::find_if(kStorageTypes.begin(), kStorageTypes.end(),
                                   [&](const StorageType& t) { return t.name == parts[1].text; });
    const ZipEntry* entry = archive_.find(fmt::format("data/{}", parts[2].text));
    if (type == kStorageTypes.end() || entry == nullptr) {
      refuse(file_, "PICKLE_STORAGE",
             fmt::format("must have its storage in the archive, as data/{}",
                         printable(parts[2].text, 60)),
             name);
    }
    const int64_t width = dtype_bits(type->dtype) / 8;
    const int64_t elements = parts[4].integer;
    if (elements < 0 || elements > entry->bytes / width || elements * width != entry->bytes) {
      refuse(file_, "PICKLE_STORAGE",
             fmt::format("its storage must have {} elements of {} bytes, found {} bytes", elements,
                         width, entry->bytes),
             name);
    }
    return {.dtype = type->dtype, .begin = entry->begin, .elements = elements};
  }

  std::vector<int64_t> sizes(const Value& tuple, const std::string& name) const {
    std::vector<int64_t> sizes;
    for (const Value& size : values_.items(tuple)) {
      if (size.kind != Kind::kInteger || size.integer < 0 || sizes.size() == kMaxRank) {
        refuse(file_, "PICKLE_STRUCT",
               fmt::format("must have at most {} sizes and strides from 0 on", kMaxRank), name);
      }
      sizes.push_back(size.integer);
    }
    return sizes;
  }

  bool is_call(const Value& value, std::string_view function) const {
    return value.kind == Kind::kCall && value.text == function;
  }
  const Value& argument(const Value& call, size_t index, Kind kind, const std::string& name) const {
    const std::vector<Value>& arguments = values_.items(call);
    if (index >= arguments.size() || arguments[index].kind != kind) {
      refuse(file_, "PICKLE_STRUCT",
             fmt::format("argument {} of {} must be of another kind", index, call.text), name);
    }
    return arguments[index];
  }

  const InputFile& file_;
  const Archive& archive_;
  const pickle::Values& values_;
};

void require_plain_weights(const InputFile& file, const Archive& archive) {
  if (archive.find("constants.pkl") != nullptr) {
    refuse_kind(file, "TORCHSCRIPT_REFUSED", "is a TorchScript program, not weights alone");
  }
  archive.require_stored();
  const ZipEntry* order = archive.find("byteorder");
  if (order == nullptr) return;  // PyTorch before 2.1: the machine's, which is little-endian
  if (const std::string found = archive.read(*order); found != "little") {
    refuse_kind(file, "ZIP_BYTEORDER",
                fmt::format("must be little-endian, found \"{}\"", printable(found, 20)));
  }
}

}  // namespace

TensorTable read_torch_table(const InputFile& file) {
  const Archive archive(file);
  require_plain_weights(file, archive);
  const std::string text = archive.read(*archive.find(kPickleName));
  const pickle::Values values = pickle::read(text, allowed_globals(), file.path());
  return {.tensors = StateDict(file, archive, values).tensors(), .metadata = {}, .data_begin = 0};
}

}  // namespace regroup

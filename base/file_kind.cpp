#include "regroup/base/file_kind.h"

#include <algorithm>
#include <array>

#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/base/placeholder.h"

namespace regroup {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kUsePublished = "use the Hugging Face folder it was made from";
constexpr std::string_view kConvertPickle =
    "pickled weights can run code when PyTorch loads them; convert them to safetensors, or give "
    "`allow-pickle` to have pytorch_model*.bin read as data, of which nothing is run";

struct ByStart {
  std::string_view start;
  FileKind kind;
};
constexpr auto kStarts = std::to_array<ByStart>({
    {"GGUF", {"a GGUF file", kUsePublished, false, true}},
    {"24ka"sv, {"a llama2.c file", kUsePublished, false, true}},
    {"\x89HDF", {"a HDF5 file (Keras, TensorFlow)", kUsePublished, false, true}},
    {"PK\x03\x04",
     {"a ZIP archive, perhaps PyTorch weights (.bin, .pt, .pth)", kConvertPickle, true}},
    {"\x80\x02", {"a Python pickle", kConvertPickle, true}},
    {"\x80\x03", {"a Python pickle", kConvertPickle, true}},
    {"\x80\x04", {"a Python pickle", kConvertPickle, true}},
    {"\x80\x05", {"a Python pickle", kConvertPickle, true}},
    {"\x1f\x8b", {"gzip data", "unpack it first"}},
    {"\x28\xb5\x2f\xfd", {"Zstandard data", "unpack it first"}},
    {"\xfd"
     "7zXZ",
     {"xz data", "unpack it first"}},
    {"{\"", {"a JSON text file", "pass the folder that holds the safetensors files"}},
});

struct ByEnding {
  std::string_view ending;
  FileKind kind;
};
constexpr auto kEndings = std::to_array<ByEnding>({
    {".gguf", {"a GGUF file", kUsePublished, false, true}},
    {".ggml", {"a GGML file", kUsePublished, false, true}},
    {".onnx", {"an ONNX model", kUsePublished, false, true}},
    {".onnx_data", {"an ONNX model", kUsePublished, false, true}},
    {".h5", {"Keras weights", kUsePublished, false, true}},
    {".keras", {"a Keras model", kUsePublished, false, true}},
    {".msgpack", {"Flax weights", kUsePublished, false, true}},
    {".tflite", {"a TensorFlow Lite model", kUsePublished, false, true}},
    {".nemo", {"a NeMo archive", kUsePublished, false, true}},
    {".distcp",
     {"a distributed checkpoint of PyTorch",
      "gather it and save_pretrained the model (accelerate merge-weights)", false, true}},
    {".npz", {"NumPy arrays", kUsePublished, false, true}},
    {".bin", {"PyTorch weights", kConvertPickle, true}},
    {".pth", {"PyTorch weights", kConvertPickle, true}},
    {".pt", {"PyTorch weights", kConvertPickle, true}},
    {".ckpt", {"PyTorch weights", kConvertPickle, true}},
    {".pkl", {"a Python pickle", kConvertPickle, true}},
});

}  // namespace

std::optional<FileKind> kind_by_start(std::string_view start) {
  if (const auto placeholder = find_placeholder(start)) {
    return FileKind{placeholder->what, placeholder->hint};
  }
  for (const ByStart& row : kStarts) {
    if (start.starts_with(row.start)) return row.kind;
  }
  return std::nullopt;
}

std::optional<FileKind> kind_by_name(std::string_view name) {
  const auto found = std::find_if(kEndings.begin(), kEndings.end(),
                                  [&](const ByEnding& row) { return name.ends_with(row.ending); });
  return found == kEndings.end() ? std::nullopt : std::optional(found->kind);
}

std::optional<FileKind> kind_of_file(const std::string& path) {
  try {
    const InputFile file(path);
    std::string start(static_cast<size_t>(std::min<int64_t>(file.size(), 32)), '\0');
    file.read(0, std::as_writable_bytes(std::span(start)));
    if (const auto kind = kind_by_start(start)) return kind;
    // 8 bytes that say how long the JSON after them is.
    if (start.size() > 9 && start[8] == '{' && start[7] == '\0') {
      return FileKind{"a safetensors file", "pass the folder that holds it and its config.json"};
    }
  } catch (const CheckpointError&) {
    return std::nullopt;
  }
  return kind_by_name(path);
}

}  // namespace regroup

#include "regroup/checkpoint/tokenizer.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "regroup/checkpoint/digest.h"
#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/file.h"
#include "regroup/checkpoint/strict_json.h"
#include "regroup/checkpoint/text.h"

namespace regroup {

struct Tokenizer::State {
  sentencepiece::SentencePieceProcessor processor;
};

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::open(const std::string& folder) {
  const std::string path = folder + "/tokenizer.model";
  if (!path_exists(path)) {
    if (path_exists(folder + "/tokenizer.json")) {
      throw UnsupportedError({.code = "TOK_UNSUPPORTED",
                              .message = "only SentencePiece tokenizers (tokenizer.model) are "
                                         "supported, found tokenizer.json alone",
                              .path = folder,
                              .tensor = {},
                              .hint =
                                  "tokenize the text with the tool it came from, into a token file "
                                  "(docs/formats.md), for convert --calibration, compare --text, "
                                  "eval --tokens and uptrain --data"});
    }
    throw CheckpointError({.code = "TOK_MISSING",
                           .message = "must hold tokenizer.model to read text",
                           .path = folder,
                           .tensor = {},
                           .hint = "copy the tokenizer files into the folder, or give token files "
                                   "(docs/formats.md) where a command takes them"});
  }
  auto state = std::make_unique<State>();
  const std::string model = InputFile(path).read_all();
  const auto status = state->processor.LoadFromSerializedProto(model);
  if (!status.ok() || state->processor.GetPieceSize() < 1) {
    throw CheckpointError(
        {.code = "TOK_PROTO",
         .message = fmt::format("is no SentencePiece model: {}", printable(status.ToString())),
         .path = path,
         .tensor = {},
         .hint = "the file is damaged; fetch it again"});
  }
  Tokenizer tokenizer(std::move(state));
  tokenizer.digest_ = sha256_of_text(model);
  const std::string config_path = folder + "/tokenizer_config.json";
  if (path_exists(config_path)) {
    const Json root = read_strict_json(config_path, kTokenizerConfigJson);
    if (!root.is_object()) {
      throw CheckpointError(
          {.code = "CFG_NOT_OBJECT", .message = "must be a JSON object", .path = config_path});
    }
    const JsonFields fields(root, config_path);
    tokenizer.add_bos_ = fields.boolean("add_bos_token").value_or(true);
    tokenizer.add_eos_ = fields.boolean("add_eos_token").value_or(false);
  }
  return tokenizer;
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  return encode(text, add_bos_, add_eos_);
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_bos, bool add_eos) const {
  std::vector<int> pieces;
  const auto status = state_->processor.Encode({text.data(), text.size()}, &pieces);
  if (!status.ok()) {
    throw CheckpointError(
        {.code = "TOK_ENCODE",
         .message = fmt::format("text could not be tokenized: {}", printable(status.ToString()))});
  }
  std::vector<int32_t> ids;
  ids.reserve(pieces.size() + 2);
  if (add_bos && bos_id() >= 0) ids.push_back(bos_id());
  ids.insert(ids.end(), pieces.begin(), pieces.end());
  if (add_eos && eos_id() >= 0) ids.push_back(eos_id());
  return ids;
}

std::string Tokenizer::decode(const std::vector<int32_t>& ids) const {
  std::string text;
  const std::vector<int> pieces(ids.begin(), ids.end());
  const bool known = std::all_of(pieces.begin(), pieces.end(),
                                 [&](int id) { return id >= 0 && id < vocab_size(); });
  if (!known) {
    throw CheckpointError({.code = "TOK_ID_RANGE",
                           .message = fmt::format("token ids must lie below {}", vocab_size())});
  }
  (void)state_->processor.Decode(pieces, &text);
  return text;
}

int64_t Tokenizer::prefix_bytes(std::string_view text, size_t n_ids) const {
  const size_t n_special = add_bos_ && bos_id() >= 0 ? 1 : 0;
  if (n_ids <= n_special) return 0;
  const auto pieces = state_->processor.EncodeAsImmutableProto({text.data(), text.size()});
  const size_t n = n_ids - n_special;
  if (n >= pieces.pieces_size()) return static_cast<int64_t>(text.size());
  return pieces.pieces(static_cast<int>(n - 1)).end();
}

int64_t Tokenizer::vocab_size() const { return state_->processor.GetPieceSize(); }
int32_t Tokenizer::bos_id() const { return state_->processor.bos_id(); }
int32_t Tokenizer::eos_id() const { return state_->processor.eos_id(); }

void require_vocabulary(const Tokenizer& tokenizer, int64_t vocab_size, const std::string& path) {
  if (tokenizer.vocab_size() <= vocab_size) return;
  throw CheckpointError(
      {.code = "TOK_VOCAB_MISMATCH",
       .message = fmt::format("the tokenizer has {} pieces, the model only {} embedding rows",
                              tokenizer.vocab_size(), vocab_size),
       .path = path,
       .tensor = {},
       .hint = "the tokenizer belongs to another model"});
}

}  // namespace regroup

#include "regroup/checkpoint/tokenizer.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string_view>

#include "regroup/checkpoint/digest.h"
#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/text.h"
#include "text_segments.h"
#include "tokenizer_files.h"

namespace regroup {

namespace {

/// Appended to a SentencePiece model it sets normalizer_spec (field 3) add_dummy_prefix (3) and
/// remove_extra_whitespaces (4) to false: protobuf merges what comes twice.
constexpr std::string_view kNoPrefixSpace("\x1A\x04\x18\x00\x20\x00", 6);

void load(sentencepiece::SentencePieceProcessor& processor, const std::string& model,
          const std::string& path) {
  const auto status = processor.LoadFromSerializedProto(model);
  if (status.ok() && processor.GetPieceSize() > 0) return;
  throw CheckpointError(
      {.code = "TOK_PROTO",
       .message = fmt::format("is no SentencePiece model: {}", printable(status.ToString())),
       .path = path,
       .tensor = {},
       .hint = "the file is damaged; fetch it again"});
}

/// The id of a token that tokenizer_config.json names; `own`, what the model says, where it does not, or
/// names one that nobody knows; -1 for none.
int32_t named_id(const std::optional<std::string>& name, const TokenizerSettings& settings,
                 const sentencepiece::SentencePieceProcessor& processor, int32_t own) {
  if (!name) return own;
  if (name->empty()) return -1;
  for (const auto& [id, text] : settings.added) {
    if (text == *name) return id;
  }
  const int id = processor.PieceToId(*name);
  return processor.IsUnknown(id) ? own : id;
}

/// A piece that is text by itself: what follows it keeps the space in front.
int ordinary_piece(const sentencepiece::SentencePieceProcessor& processor) {
  for (int id = 0; id < processor.GetPieceSize(); ++id) {
    const bool ordinary = !processor.IsControl(id) && !processor.IsUnknown(id) &&
                          !processor.IsUnused(id) && !processor.IsByte(id);
    if (ordinary && processor.IdToPiece(id).find("\u2581") == std::string::npos) return id;
  }
  return -1;
}

}  // namespace

struct Tokenizer::State {
  sentencepiece::SentencePieceProcessor processor;
  TokenizerSettings settings;
  int32_t bos = -1;
  int32_t eos = -1;
  int ordinary = -1;
  bool splits = false;  ///< a text may be encoded in segments
  size_t skipped = 0;   ///< bytes in front of a later segment: the space that SentencePiece adds

  void encode(std::string_view text, std::vector<int32_t>& ids) const;
  /// Hands on the segments as they are encoded, where they begin in the text and what was skipped there.
  void visit(std::string_view text,
             const std::function<bool(std::string_view, size_t begin, size_t skipped)>& each) const;
  void look_for_segments();
  /// The text of an added token, or nullptr for ids that SentencePiece knows better.
  const std::string* added(int32_t id) const;
  std::string decode(const std::vector<int>& pieces, bool at_start) const;
};

void Tokenizer::State::encode(std::string_view text, std::vector<int32_t>& ids) const {
  std::vector<int> pieces;
  const auto status = processor.Encode({text.data(), text.size()}, &pieces);
  if (!status.ok()) {
    throw CheckpointError(
        {.code = "TOK_ENCODE",
         .message = fmt::format("text could not be tokenized: {}", printable(status.ToString()))});
  }
  ids.insert(ids.end(), pieces.begin(), pieces.end());
}

void Tokenizer::State::visit(
    std::string_view text,
    const std::function<bool(std::string_view, size_t begin, size_t skipped)>& each) const {
  if (!splits) {
    each(text, 0, 0);
    return;
  }
  visit_segments(text, [&](std::string_view segment, size_t begin) {
    const size_t n = begin == 0 ? 0 : skipped;
    return each(segment.substr(n), begin, n);
  });
}

/// Segments give the same ids where no piece reaches from a letter to a space behind it.
void Tokenizer::State::look_for_segments() {
  constexpr std::string_view kSpace = "\u2581";
  for (int id = 0; id < processor.GetPieceSize(); ++id) {
    const std::string& piece = processor.IdToPiece(id);
    // By bytes: some byte of any other character is none of the mark's.
    const size_t letter = piece.find_first_not_of(kSpace);
    if (letter != std::string::npos && piece.find(kSpace, letter) != std::string::npos) return;
  }
  std::vector<int32_t> whole, space_skipped, space_kept;
  encode("a b", whole);
  encode("a", space_skipped);
  space_kept = space_skipped;
  encode("b", space_skipped);
  encode(" b", space_kept);
  splits = whole == space_skipped || whole == space_kept;
  skipped = whole == space_skipped ? 1 : 0;
}

const std::string* Tokenizer::State::added(int32_t id) const {
  static const std::string kPadding;  // rows of the embedding that stand for nothing
  const auto found = settings.added.find(id);
  if (id >= processor.GetPieceSize())
    return found == settings.added.end() ? &kPadding : &found->second;
  const bool shown = found != settings.added.end() && processor.IsControl(id) && id != bos &&
                     id != eos && id != processor.bos_id() && id != processor.eos_id() &&
                     id != processor.pad_id();
  return shown ? &found->second : nullptr;
}

std::string Tokenizer::State::decode(const std::vector<int>& pieces, bool at_start) const {
  std::string text;
  if (at_start || ordinary < 0) {
    (void)processor.Decode(pieces, &text);
    return text;
  }
  std::vector<int> behind = {ordinary};
  std::string before;
  (void)processor.Decode(behind, &before);
  behind.insert(behind.end(), pieces.begin(), pieces.end());
  (void)processor.Decode(behind, &text);
  return text.substr(std::min(before.size(), text.size()));
}

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::open(const std::string& folder) {
  std::string model = read_tokenizer_model(folder);
  auto state = std::make_unique<State>();
  load(state->processor, model, folder + "/tokenizer.model");
  state->settings = read_tokenizer_settings(folder);
  const TokenizerSettings& settings = state->settings;
  if (!settings.add_prefix_space) {
    model += kNoPrefixSpace;
    load(state->processor, model, folder + "/tokenizer.model");
  }
  const auto& processor = state->processor;
  state->bos = named_id(settings.bos_token, settings, processor, processor.bos_id());
  state->eos = named_id(settings.eos_token, settings, processor, processor.eos_id());
  state->ordinary = ordinary_piece(processor);
  state->look_for_segments();
  Tokenizer tokenizer(std::move(state));
  tokenizer.digest_ = sha256_of_text(model);
  tokenizer.add_bos_ = settings.add_bos;
  tokenizer.add_eos_ = settings.add_eos;
  return tokenizer;
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  return encode(text, add_bos_, add_eos_);
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_bos, bool add_eos) const {
  return encode_front(text, SIZE_MAX, add_bos, add_eos);
}

std::vector<int32_t> Tokenizer::encode_front(std::string_view text, size_t enough) const {
  return encode_front(text, enough, add_bos_, add_eos_);
}

std::vector<int32_t> Tokenizer::encode_front(std::string_view text, size_t enough, bool add_bos,
                                             bool add_eos) const {
  std::vector<int32_t> ids;
  if (add_bos && bos_id() >= 0) ids.push_back(bos_id());
  bool whole = true;
  state_->visit(text, [&](std::string_view segment, size_t, size_t) {
    whole = ids.size() < enough;
    if (whole) state_->encode(segment, ids);
    return whole;
  });
  if (whole && add_eos && eos_id() >= 0) ids.push_back(eos_id());
  return ids;
}

std::string Tokenizer::decode(const std::vector<int32_t>& ids) const {
  std::string text;
  std::vector<int> pieces;
  const auto put_pieces = [&] {
    text += state_->decode(pieces, text.empty());
    pieces.clear();
  };
  for (const int32_t id : ids) {
    if (id < 0) {
      throw CheckpointError(
          {.code = "TOK_ID_RANGE",
           .message = fmt::format("token ids must not be negative, found {}", id)});
    }
    const std::string* added = state_->added(id);
    if (added == nullptr) {
      pieces.push_back(id);
      continue;
    }
    put_pieces();
    text += *added;
  }
  put_pieces();
  return text;
}

int64_t Tokenizer::prefix_bytes(std::string_view text, size_t n_ids) const {
  const size_t n_special = add_bos_ && bos_id() >= 0 ? 1 : 0;
  if (n_ids <= n_special) return 0;
  size_t left = n_ids - n_special;
  auto bytes = static_cast<int64_t>(text.size());
  state_->visit(text, [&](std::string_view segment, size_t begin, size_t skipped) {
    const auto pieces = state_->processor.EncodeAsImmutableProto({segment.data(), segment.size()});
    if (left > pieces.pieces_size()) {
      left -= pieces.pieces_size();
      return true;
    }
    // All of the last segment may be more than its pieces stand for: white space at the end.
    const bool all =
        left == pieces.pieces_size() && begin + skipped + segment.size() == text.size();
    const auto end = static_cast<size_t>(pieces.pieces(static_cast<int>(left - 1)).end());
    if (!all) bytes = static_cast<int64_t>(begin + skipped + end);
    return false;
  });
  return bytes;
}

int64_t Tokenizer::vocab_size() const { return state_->processor.GetPieceSize(); }
int32_t Tokenizer::bos_id() const { return state_->bos; }
int32_t Tokenizer::eos_id() const { return state_->eos; }

void require_vocabulary(const Tokenizer& tokenizer, int64_t vocab_size, const std::string& path,
                        bool with_eos) {
  const int32_t bos = tokenizer.adds_bos() ? tokenizer.bos_id() : -1;
  const int32_t eos = with_eos || tokenizer.adds_eos() ? tokenizer.eos_id() : -1;
  const int32_t highest = std::max(bos, eos);
  if (tokenizer.vocab_size() <= vocab_size && highest < vocab_size) return;
  if (tokenizer.vocab_size() <= vocab_size) {
    throw CheckpointError(
        {.code = "TOK_VOCAB_MISMATCH",
         .message =
             fmt::format("the tokenizer begins or ends texts with the id {}, the model has only {} "
                         "embedding rows",
                         highest, vocab_size),
         .path = path,
         .tensor = {},
         .hint = "tokenizer_config.json or added_tokens.json belongs to another model"});
  }
  throw CheckpointError(
      {.code = "TOK_VOCAB_MISMATCH",
       .message = fmt::format("the tokenizer has {} pieces, the model only {} embedding rows",
                              tokenizer.vocab_size(), vocab_size),
       .path = path,
       .tensor = {},
       .hint = "the tokenizer belongs to another model"});
}

}  // namespace regroup

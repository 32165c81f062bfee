#include "sentencepiece_tokenizer.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <exception>
#include <functional>
#include <new>
#include <string_view>

#include "added_tokens.h"
#include "charsmap.h"
#include "part_errors.h"
#include "proto_reader.h"
#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/notice.h"
#include "regroup/base/printable.h"
#include "text_segments.h"
#include "tokenizer_files.h"

namespace regroup {

namespace {

/// Appended to a SentencePiece model it sets normalizer_spec (field 3) add_dummy_prefix (3) and
/// remove_extra_whitespaces (4) to false: protobuf merges what comes twice.
constexpr std::string_view kNoPrefixSpace("\x1A\x04\x18\x00\x20\x00", 6);

[[noreturn]] void refuse_model(const std::string& path, const std::string& why) {
  wrong_part(path, "TOK_PROTO", fmt::format("is no SentencePiece model: {}", why));
}

/// A piece with its score and its type, as sentencepiece_model.proto has them.
void require_sound_piece(std::string_view message, int64_t number, const std::string& path) {
  constexpr uint32_t kText = 1, kScore = 2, kType = 3;
  constexpr uint64_t kLastType = 6;
  ProtoReader reader(message);
  while (const auto field = reader.next()) {
    if (field->number == kText && field->kind == ProtoReader::Kind::kBytes) {
      require_token_length(field->bytes, number, path);
    }
    const bool no_score = field->number == kScore && field->kind == ProtoReader::Kind::kFixed32 &&
                          !std::isfinite(std::bit_cast<float>(static_cast<uint32_t>(field->value)));
    const bool no_type = field->number == kType && field->kind == ProtoReader::Kind::kVarint &&
                         (field->value < 1 || field->value > kLastType);
    if (!no_score && !no_type) continue;
    wrong_part(path, "TOK_SCORES",
               fmt::format("piece {} must have a finite score and a type from 1 to {}", number,
                           kLastType));
  }
  if (reader.damaged()) refuse_model(path, fmt::format("piece {} is damaged", number));
}

void require_sound_normalizer(std::string_view message, const std::string& path) {
  constexpr uint32_t kCharsmap = 2;
  ProtoReader reader(message);
  while (const auto field = reader.next()) {
    const bool charsmap = field->number == kCharsmap && field->kind == ProtoReader::Kind::kBytes &&
                          !field->bytes.empty();
    if (charsmap) require_sound_charsmap(field->bytes, path);
  }
  if (reader.damaged()) refuse_model(path, "its normalizer is damaged");
}

/// What SentencePiece neither asks nor survives: it follows a charsmap unchecked, and goes a call
/// deeper for each byte of a piece.
void require_sound_model(std::string_view model, const std::string& path) {
  constexpr uint32_t kPiece = 1, kNormalizer = 3, kDenormalizer = 5;
  int64_t pieces = 0;
  ProtoReader reader(model);
  while (const auto field = reader.next()) {
    if (field->kind != ProtoReader::Kind::kBytes) continue;
    if (field->number == kPiece) require_sound_piece(field->bytes, pieces++, path);
    if (field->number == kNormalizer || field->number == kDenormalizer) {
      require_sound_normalizer(field->bytes, path);
    }
  }
  if (reader.damaged()) refuse_model(path, "its fields do not follow one another");
}

void load(sentencepiece::SentencePieceProcessor& processor, const std::string& model,
          const std::string& path) {
  std::string why;
  try {
    const auto status = processor.LoadFromSerializedProto(model);
    if (status.ok() && processor.GetPieceSize() > 0) return;
    why = status.ToString();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {  // of the trie that it builds
    why = error.what();
  }
  refuse_model(path, printable(why));
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

void SentencePieceTokenizer::encode_segment(std::string_view text,
                                            std::vector<int32_t>& ids) const {
  std::vector<int> pieces;
  const auto status = processor_->Encode({text.data(), text.size()}, &pieces);
  if (!status.ok()) {
    throw CheckpointError(
        {.code = "TOK_ENCODE",
         .message = fmt::format("text could not be tokenized: {}", printable(status.ToString()))});
  }
  ids.insert(ids.end(), pieces.begin(), pieces.end());
}

void SentencePieceTokenizer::visit(std::string_view text, const SegmentVisitor& each) const {
  if (!splits_) {
    each(text, 0, 0);
    return;
  }
  visit_segments(text, [&](std::string_view segment, size_t begin) {
    const size_t n = begin == 0 ? 0 : skipped_;
    return each(segment.substr(n), begin, n);
  });
}

/// Segments give the same ids where no piece reaches from a letter to a space behind it.
void SentencePieceTokenizer::look_for_segments() {
  constexpr std::string_view kSpace = "\u2581";
  for (int id = 0; id < processor_->GetPieceSize(); ++id) {
    const std::string& piece = processor_->IdToPiece(id);
    // By bytes: some byte of any other character is none of the mark's.
    const size_t letter = piece.find_first_not_of(kSpace);
    if (letter != std::string::npos && piece.find(kSpace, letter) != std::string::npos) return;
  }
  std::vector<int32_t> whole, space_skipped, space_kept;
  encode_segment("a b", whole);
  encode_segment("a", space_skipped);
  space_kept = space_skipped;
  encode_segment("b", space_skipped);
  encode_segment(" b", space_kept);
  splits_ = whole == space_skipped || whole == space_kept;
  skipped_ = whole == space_skipped ? 1 : 0;
}

const std::string* SentencePieceTokenizer::added(int32_t id) const {
  static const std::string kPadding;  // rows of the embedding that stand for nothing
  const auto found = settings_.added.find(id);
  if (id >= processor_->GetPieceSize())
    return found == settings_.added.end() ? &kPadding : &found->second;
  const bool shown = found != settings_.added.end() && processor_->IsControl(id) &&
                     id != ends.bos && id != ends.eos && id != processor_->bos_id() &&
                     id != processor_->eos_id() && id != processor_->pad_id();
  return shown ? &found->second : nullptr;
}

std::string SentencePieceTokenizer::decode_pieces(const std::vector<int>& pieces,
                                                  bool at_start) const {
  std::string text;
  if (at_start || ordinary_ < 0) {
    (void)processor_->Decode(pieces, &text);
    return text;
  }
  std::vector<int> behind = {ordinary_};
  std::string before;
  (void)processor_->Decode(behind, &before);
  behind.insert(behind.end(), pieces.begin(), pieces.end());
  (void)processor_->Decode(behind, &text);
  return text.substr(std::min(before.size(), text.size()));
}

std::unique_ptr<SentencePieceTokenizer> SentencePieceTokenizer::open(const std::string& folder) {
  std::string model = read_tokenizer_model(folder);
  auto tokenizer = std::make_unique<SentencePieceTokenizer>();
  auto& processor = *tokenizer->processor_;
  require_sound_model(model, folder + "/tokenizer.model");
  load(processor, model, folder + "/tokenizer.model");
  tokenizer->settings_ = read_tokenizer_settings(folder);
  const TokenizerSettings& settings = tokenizer->settings_;
  if (!settings.add_prefix_space) {
    model += kNoPrefixSpace;
    load(processor, model, folder + "/tokenizer.model");
  }
  tokenizer->ends = {.bos = named_id(settings.bos_token, settings, processor, processor.bos_id()),
                     .eos = named_id(settings.eos_token, settings, processor, processor.eos_id()),
                     .add_bos = settings.add_bos,
                     .add_eos = settings.add_eos};
  tokenizer->ordinary_ = ordinary_piece(processor);
  tokenizer->look_for_segments();
  tokenizer->folder_ = folder;
  tokenizer->find_special_texts();
  tokenizer->digest = sha256_of_text(model);
  return tokenizer;
}

SentencePieceTokenizer::SentencePieceTokenizer()
    : processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()) {}
SentencePieceTokenizer::~SentencePieceTokenizer() = default;

void SentencePieceTokenizer::allow_special_tokens() {
  throw UnsupportedError(
      {.code = "TOK_UNSUPPORTED",
       .message = "special tokens, which conversations hold, are found with a tokenizer.json, but "
                  "there is tokenizer.model alone",
       .path = folder_,
       .hint = "make one with AutoTokenizer.from_pretrained(MODEL).save_pretrained(MODEL) of "
               "transformers"});
}

void SentencePieceTokenizer::find_special_texts() {
  size_t bytes = 0;
  for (const auto& [id, text] : settings_.added) bytes += text.size();
  require_added_bytes(bytes, folder_);
  int32_t value = 0;
  for (int id = 0; id < processor_->GetPieceSize(); ++id) {
    if (processor_->IsControl(id)) special_.add(processor_->IdToPiece(id), value++);
  }
  for (const auto& [id, text] : settings_.added) {
    if (!text.empty()) special_.add(text, value++);
  }
}

void SentencePieceTokenizer::tell_special(std::string_view text) const {
  if (told_) return;
  for (size_t at = 0; at < text.size(); ++at) {
    size_t length = 0;
    special_.visit_prefixes(text.substr(at), [&](size_t n, int32_t) { length = n; });
    if (length == 0 || told_.exchange(true)) continue;
    notice(
        fmt::format("{}: a text holds \"{}\", the text of a special token, which is read as plain "
                    "text",
                    printable(folder_), printable(text.substr(at, length), 40)));
    return;
  }
}

bool SentencePieceTokenizer::encode(std::string_view text, size_t enough, bool /*special*/,
                                    std::vector<int32_t>& ids) const {
  bool whole = true;
  visit(text, [&](std::string_view segment, size_t, size_t) {
    whole = ids.size() < enough;
    if (whole) {
      tell_special(segment);
      encode_segment(segment, ids);
    }
    return whole;
  });
  return whole;
}

std::string SentencePieceTokenizer::decode(const std::vector<int32_t>& ids) const {
  std::string text;
  std::vector<int> pieces;
  const auto put_pieces = [&] {
    text += decode_pieces(pieces, text.empty());
    pieces.clear();
  };
  for (const int32_t id : ids) {
    const std::string* own = added(id);
    if (own == nullptr) {
      pieces.push_back(id);
      continue;
    }
    put_pieces();
    text += *own;
  }
  put_pieces();
  return text;
}

int64_t SentencePieceTokenizer::prefix_bytes(std::string_view text, size_t n_ids,
                                             bool /*special*/) const {
  size_t left = n_ids;
  auto bytes = static_cast<int64_t>(text.size());
  visit(text, [&](std::string_view segment, size_t begin, size_t skipped) {
    const auto pieces = processor_->EncodeAsImmutableProto({segment.data(), segment.size()});
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

int64_t SentencePieceTokenizer::vocab_size() const { return processor_->GetPieceSize(); }

std::string SentencePieceTokenizer::piece(int32_t id) const { return processor_->IdToPiece(id); }

}  // namespace regroup

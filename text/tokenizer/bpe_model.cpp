#include "bpe_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "byte_symbols.h"
#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "utf8.h"

namespace regroup {

/// Puts the symbols of a piece together; what is unknown may wait for more of its kind.
class BpeModel::SymbolBuilder {
 public:
  SymbolBuilder(const BpeModel& model, std::vector<Symbol>& symbols)
      : model_(model), symbols_(symbols) {
    symbols_.clear();
  }
  void add(int32_t id, uint32_t bytes) {
    const auto n = static_cast<int32_t>(symbols_.size());
    symbols_.push_back({.id = id, .bytes = bytes + left_out_, .previous = n - 1, .next = n + 1});
    left_out_ = 0;
  }
  void add_known(int32_t id, uint32_t bytes) {
    flush();
    add(id, bytes);
  }
  void add_unknown(uint32_t bytes) {
    if (model_.settings_.unk_token.empty()) {
      left_out_ += bytes;
      return;
    }
    if (model_.unk_ < 0) model_.fail_unknown();
    if (unknown_ > 0 && !model_.settings_.fuse_unk) flush();
    unknown_ += bytes;
  }
  void finish() {
    flush();
    if (!symbols_.empty()) symbols_.back().next = -1;
  }

 private:
  void flush() {
    if (unknown_ > 0) add(model_.unk_, unknown_);
    unknown_ = 0;
  }
  const BpeModel& model_;
  std::vector<Symbol>& symbols_;
  uint32_t unknown_ = 0;   // bytes of unknown characters that are not put in yet
  uint32_t left_out_ = 0;  // bytes that no token stands for; the next one comes behind them
};

BpeModel::BpeModel(Vocabulary vocabulary, Merges merges, BpeSettings settings, bool takes_bytes)
    : vocabulary_(std::move(vocabulary)),
      merges_(std::move(merges)),
      settings_(std::move(settings)),
      takes_bytes_(takes_bytes && settings_.continuing_prefix.empty() &&
                   settings_.end_suffix.empty()),
      unk_(vocabulary_.find(settings_.unk_token)) {
  if (settings_.byte_fallback) fallback_ = byte_tokens(vocabulary_);
  settings_.cuts_at_marks = settings_.cuts_at_marks && !takes_bytes && !settings_.ignore_merges &&
                            settings_.continuing_prefix.empty() && settings_.end_suffix.empty() &&
                            vocabulary_.find(kSpaceMark) >= 0;
  for (size_t byte = 0; byte < single_.size(); ++byte) {
    std::string text;
    const auto b = static_cast<unsigned char>(byte);
    append_character(text, takes_bytes_ ? byte_symbol(b) : b);
    single_[byte] = takes_bytes_ || byte < 0x80 ? vocabulary_.find(text) : -1;
  }
}

void BpeModel::encode(std::string_view piece, WordScratch& scratch, std::vector<int32_t>& ids,
                      std::vector<uint32_t>* bytes) const {
  if (!settings_.cuts_at_marks) {
    encode_word(piece, scratch, ids, bytes);
    return;
  }
  while (!piece.empty()) {  // marks, and what follows up to the next one
    size_t marks = 0;
    while (piece.substr(marks).starts_with(kSpaceMark)) marks += kSpaceMark.size();
    const size_t end = std::min(piece.find(kSpaceMark, marks), piece.size());
    encode_word(piece.substr(0, end), scratch, ids, bytes);
    piece.remove_prefix(end);
  }
}

void BpeModel::encode_word(std::string_view piece, WordScratch& scratch, std::vector<int32_t>& ids,
                           std::vector<uint32_t>* bytes) const {
  if (bytes == nullptr && scratch.cache.find(piece, ids)) return;
  const size_t before = ids.size();
  const int32_t token = settings_.ignore_merges ? whole(piece) : -1;
  if (token >= 0) {
    ids.push_back(token);
    if (bytes != nullptr) bytes->push_back(static_cast<uint32_t>(piece.size()));
  } else {
    merge_piece(piece, scratch.symbols, ids, bytes);
  }
  scratch.cache.put(piece, {ids.begin() + static_cast<std::ptrdiff_t>(before), ids.end()});
}

void BpeModel::fail_unknown() const {
  throw CheckpointError({.code = "TOK_UNK",
                         .message = fmt::format(
                             "a character of the text is not in the vocabulary, and neither is the "
                             "unk_token {} of tokenizer.json",
                             printable(settings_.unk_token)),
                         .hint = "fetch tokenizer.json again"});
}

bool BpeModel::falls_back(std::string_view character) const {
  return !fallback_.empty() && std::all_of(character.begin(), character.end(), [this](char byte) {
    return fallback_[static_cast<unsigned char>(byte)] >= 0;
  });
}

int32_t BpeModel::whole(std::string_view piece) const {
  return takes_bytes_ ? vocabulary_.find(to_byte_symbols(piece)) : vocabulary_.find(piece);
}

void BpeModel::merge_piece(std::string_view piece, std::vector<Symbol>& symbols,
                           std::vector<int32_t>& ids, std::vector<uint32_t>* bytes) const {
  SymbolBuilder builder(*this, symbols);
  if (takes_bytes_) {
    add_bytes(piece, builder);
  } else {
    add_characters(piece, builder);
  }
  builder.finish();
  merge_symbols(merges_, symbols);
  for (const Symbol& symbol : symbols) {
    if (symbol.bytes == 0) continue;
    ids.push_back(symbol.id);
    if (bytes != nullptr) bytes->push_back(symbol.bytes);
  }
}

void BpeModel::add_bytes(std::string_view piece, SymbolBuilder& builder) const {
  for (const char byte : piece) {
    const int32_t id = single_[static_cast<unsigned char>(byte)];
    if (id >= 0) {
      builder.add_known(id, 1);
    } else {
      builder.add_unknown(1);
    }
  }
}

void BpeModel::add_characters(std::string_view piece, SymbolBuilder& builder) const {
  const bool plain = settings_.continuing_prefix.empty() && settings_.end_suffix.empty();
  std::string affixed;
  for (size_t at = 0, n; at < piece.size(); at += n) {
    const auto lead = static_cast<unsigned char>(piece[at]);
    n = character_bytes(lead);
    std::string_view text = piece.substr(at, n);
    if (!plain) {
      affixed = (at > 0 ? settings_.continuing_prefix : "") + std::string(text) +
                (at + n == piece.size() ? settings_.end_suffix : "");
      text = affixed;
    }
    const int32_t id = plain && n == 1 ? single_[lead] : vocabulary_.find(text);
    if (id >= 0) {
      builder.add_known(id, static_cast<uint32_t>(n));
    } else if (!falls_back(text)) {
      builder.add_unknown(static_cast<uint32_t>(n));
    } else {
      for (const char byte : text) builder.add(fallback_[static_cast<unsigned char>(byte)], 1);
    }
  }
}

}  // namespace regroup

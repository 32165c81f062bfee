#include "unigram.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "parsed_score.h"
#include "part_errors.h"
#include "prefix_tree.h"
#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "utf8.h"

namespace regroup {
namespace {

constexpr double kUnknownPenalty = 10;  // below the lowest score, as in SentencePiece

class UnigramModel : public WordModel {
 public:
  UnigramModel(Vocabulary vocabulary, std::vector<double> scores, int32_t unk, bool byte_fallback)
      : vocabulary_(std::move(vocabulary)), scores_(std::move(scores)), unk_(unk) {
    for (int32_t id = 0; id < vocabulary_.size(); ++id) {
      const std::string* token = vocabulary_.token(id);
      if (token != nullptr && !token->empty()) tree_.add(*token, id);
    }
    if (byte_fallback) bytes_ = byte_tokens(vocabulary_);
    unknown_score_ = *std::min_element(scores_.begin(), scores_.end()) - kUnknownPenalty;
  }
  void encode(std::string_view piece, WordScratch& scratch, std::vector<int32_t>& ids,
              std::vector<uint32_t>* bytes) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  using Cut = WordScratch::BestCut;
  void reach(Cut& cut, double score, int32_t id, size_t begin) const {
    if (cut.begin >= 0 && score <= cut.score) return;
    cut = {.score = score, .id = id, .begin = static_cast<int32_t>(begin)};
  }
  void walk(std::string_view piece, std::vector<Cut>& cuts) const;
  void encode_new(std::string_view piece, std::vector<Cut>& cuts, std::vector<int32_t>& ids,
                  std::vector<uint32_t>* bytes) const;
  void put(std::string_view token, std::vector<int32_t>& ids, std::vector<uint32_t>* bytes) const;
  int32_t unknown() const;

  Vocabulary vocabulary_;
  std::vector<double> scores_;
  int32_t unk_;
  PrefixTree tree_;
  std::vector<int32_t> bytes_;
  double unknown_score_;
};

/// Viterbi: of all ways to cut the piece into tokens the one with the highest sum of scores.
void UnigramModel::walk(std::string_view piece, std::vector<Cut>& cuts) const {
  cuts.assign(piece.size() + 1, Cut{});
  for (size_t at = 0; at < piece.size();) {
    const double here = cuts[at].score;
    const size_t character = character_bytes(static_cast<unsigned char>(piece[at]));
    bool single = false;
    tree_.visit_prefixes(piece.substr(at), [&](size_t length, int32_t id) {
      reach(cuts[at + length], scores_[static_cast<size_t>(id)] + here, id, at);
      single = single || length == character;
    });
    if (!single) reach(cuts[at + character], unknown_score_ + here, unknown(), at);
    at += character;
  }
}

void UnigramModel::encode(std::string_view piece, WordScratch& scratch, std::vector<int32_t>& ids,
                          std::vector<uint32_t>* bytes) const {
  if (bytes == nullptr && scratch.cache.find(piece, ids)) return;
  const size_t before = ids.size();
  encode_new(piece, scratch.cuts, ids, bytes);
  scratch.cache.put(piece, {ids.begin() + static_cast<std::ptrdiff_t>(before), ids.end()});
}

void UnigramModel::encode_new(std::string_view piece, std::vector<Cut>& cuts,
                              std::vector<int32_t>& ids, std::vector<uint32_t>* bytes) const {
  walk(piece, cuts);
  std::vector<std::string_view> tokens;
  size_t unknown_end = 0;  // of a run of unknown characters, which become one token
  const auto end_unknown = [&](size_t begin) {
    if (unknown_end > 0) tokens.push_back(piece.substr(begin, unknown_end - begin));
    unknown_end = 0;
  };
  for (size_t end = piece.size(); end > 0;) {
    const Cut& cut = cuts[end];
    const auto begin = static_cast<size_t>(cut.begin);
    if (cut.id == unk_) {
      if (unknown_end == 0) unknown_end = end;
    } else {
      end_unknown(end);
      tokens.push_back(piece.substr(begin, end - begin));
    }
    end = begin;
  }
  end_unknown(0);
  for (auto token = tokens.rbegin(); token != tokens.rend(); ++token) put(*token, ids, bytes);
}

void UnigramModel::put(std::string_view token, std::vector<int32_t>& ids,
                       std::vector<uint32_t>* bytes) const {
  const auto add = [&](int32_t id, size_t n) {
    ids.push_back(id);
    if (bytes != nullptr) bytes->push_back(static_cast<uint32_t>(n));
  };
  const int32_t id = vocabulary_.find(token);
  if (id >= 0) {
    add(id, token.size());
    return;
  }
  const bool falls_back =
      !bytes_.empty() && std::all_of(token.begin(), token.end(), [this](char byte) {
        return bytes_[static_cast<unsigned char>(byte)] >= 0;
      });
  if (!falls_back) {
    add(unknown(), token.size());
    return;
  }
  for (const char byte : token) add(bytes_[static_cast<unsigned char>(byte)], 1);
}

int32_t UnigramModel::unknown() const {
  if (unk_ >= 0) return unk_;
  throw CheckpointError({.code = "TOK_UNK",
                         .message = "a character of the text is not in the vocabulary, and "
                                    "tokenizer.json has no unk_id",
                         .hint = "fetch tokenizer.json again"});
}

}  // namespace

std::unique_ptr<WordModel> read_unigram(const Json& model, const std::string& path) {
  const auto list = model.find("vocab");
  if (list == model.end() || !list->is_array()) {
    wrong_part(path, "TOK_PART",
               "\"vocab\" of a Unigram model must be a list of tokens and scores");
  }
  if (list->empty()) wrong_part(path, "TOK_EMPTY", "\"vocab\" of the model must not be empty");
  Vocabulary vocabulary;
  std::vector<double> scores;
  for (const Json& entry : *list) {
    const bool pair = entry.is_array() && entry.size() == 2 && entry[0].is_string() &&
                      entry[1].is_number() && std::isfinite(entry[1].get<double>());
    if (!pair) {
      wrong_part(path, "TOK_SCORES",
                 fmt::format("an entry of \"vocab\" must be a token and its score, found {}",
                             printable(entry.dump(), 80)));
    }
    vocabulary.add(entry[0].get_ref<const std::string&>(), static_cast<int64_t>(scores.size()),
                   path);
    scores.push_back(parsed_score(entry[1].get<double>()));
  }
  const JsonFields fields(model, path);
  const auto unk = fields.integer("unk_id", 0, INT32_MAX);
  if (unk && *unk >= vocabulary.size()) {
    wrong_part(path, "TOK_UNK",
               fmt::format("\"unk_id\" must be below {}, found {}", vocabulary.size(), *unk));
  }
  return std::make_unique<UnigramModel>(std::move(vocabulary), std::move(scores),
                                        static_cast<int32_t>(unk.value_or(-1)),
                                        fields.boolean("byte_fallback").value_or(false));
}

}  // namespace regroup

#include "bpe.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "bpe_model.h"
#include "part_errors.h"
#include "part_reader.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"

namespace regroup {
namespace {

constexpr size_t kMaxMerges = 4'000'000;

/// The two parts of a merge: "a b", or ["a", "b"].
std::pair<std::string_view, std::string_view> merge_parts(const Json& merge,
                                                          const std::string& path) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get_ref<const std::string&>(), merge[1].get_ref<const std::string&>()};
  }
  if (merge.is_string()) {
    const std::string_view text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != std::string_view::npos && text.find(' ', space + 1) == std::string_view::npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  }
  wrong_part(path, "TOK_MERGE",
             fmt::format("a merge must be two tokens, found {}", printable(merge.dump(), 80)));
}

Merges read_merges(const Json& list, const Vocabulary& vocabulary, BpeSettings& settings,
                   const std::string& path) {
  const std::string& prefix = settings.continuing_prefix;
  if (list.size() > kMaxMerges) {
    wrong_part(path, "LIMIT_MERGES",
               fmt::format("must have at most {} merges, found {}", kMaxMerges, list.size()));
  }
  Merges merges(list.size());
  uint32_t rank = 0;
  settings.cuts_at_marks = true;
  std::string joined;
  for (const Json& merge : list) {
    const auto [left, right] = merge_parts(merge, path);
    const bool continues = right.size() >= prefix.size();
    joined.assign(left);
    if (continues) joined += right.substr(prefix.size());
    const int32_t left_id = vocabulary.find(left), right_id = vocabulary.find(right);
    const int32_t id = vocabulary.find(joined);
    if (!continues || left_id < 0 || right_id < 0 || id < 0) {
      wrong_part(path, "TOK_MERGE",
                 fmt::format("merge {} must join two tokens to a third of the vocabulary, found "
                             "\"{}\" and \"{}\"",
                             rank, printable(left, 40), printable(right, 40)));
    }
    if (!left.ends_with(kSpaceMark) && right.starts_with(kSpaceMark))
      settings.cuts_at_marks = false;
    merges.add(left_id, right_id, {.rank = rank++, .id = id});
  }
  return merges;
}

/// A string that may be null or absent.
std::string text_or_empty(const Json& model, const char* key, const std::string& path) {
  return JsonFields(model, path).string(key).value_or("");
}

}  // namespace

Vocabulary read_vocabulary(const Json& model, const std::string& path) {
  const auto list = model.find("vocab");
  if (list == model.end() || !list->is_object()) {
    wrong_part(path, "TOK_PART", "\"vocab\" of the model must be an object of tokens and ids");
  }
  if (list->empty()) wrong_part(path, "TOK_EMPTY", "\"vocab\" of the model must not be empty");
  Vocabulary vocabulary;
  vocabulary.reserve(list->size());
  for (const auto& [token, id] : list->items()) {
    const bool fits = id.is_number_unsigned() && id.get<uint64_t>() <= INT32_MAX;
    if (!fits) {
      wrong_part(path, "TOK_ID_RANGE",
                 fmt::format("the id of a token must be a number from 0 on, found {} for \"{}\"",
                             printable(id.dump(), 40), printable(token, 40)));
    }
    vocabulary.add(token, id.get<int64_t>(), path);
  }
  return vocabulary;
}

std::unique_ptr<WordModel> read_bpe(const Json& model, bool takes_bytes, const std::string& path) {
  const JsonFields fields(model, path);
  const auto dropout = fields.number("dropout");
  if (dropout.value_or(0) != 0) {
    refuse_part(path, fmt::format("the model drops merges at random (dropout {})", *dropout));
  }
  BpeSettings settings{.unk_token = text_or_empty(model, "unk_token", path),
                       .continuing_prefix = text_or_empty(model, "continuing_subword_prefix", path),
                       .end_suffix = text_or_empty(model, "end_of_word_suffix", path),
                       .fuse_unk = fields.boolean("fuse_unk").value_or(false),
                       .byte_fallback = fields.boolean("byte_fallback").value_or(false),
                       .ignore_merges = fields.boolean("ignore_merges").value_or(false)};
  Vocabulary vocabulary = read_vocabulary(model, path);
  const auto list = model.find("merges");
  if (list == model.end() || !list->is_array()) {
    wrong_part(path, "TOK_PART", "\"merges\" of the model must be a list");
  }
  Merges merges = read_merges(*list, vocabulary, settings, path);
  return std::make_unique<BpeModel>(std::move(vocabulary), std::move(merges), std::move(settings),
                                    takes_bytes);
}

}  // namespace regroup

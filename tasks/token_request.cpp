#include "regroup/tasks/token_request.h"

#include <fmt/format.h>

#include <algorithm>

#include "regroup/base/error.h"
#include "regroup/text/python_text.h"

namespace regroup {
namespace {

using Ids = std::vector<int64_t>;

/// A request before it is cut to the model's context.
struct Pair {
  Ids context;
  Ids continuation;
};

class Encoder {
 public:
  Encoder(const Task& task, const Tokenizer& tokenizer, int64_t max_length, BosMode mode)
      : task_(task),
        tokenizer_(tokenizer),
        max_length_(max_length),
        mode_(mode),
        prefix_(tokenizer.bos_id() >= 0 ? tokenizer.bos_id() : tokenizer.eos_id()) {}

  EncodedTask encode() {
    if (task_.definition.kind == TaskKind::kGenerate) return {};  // asked in words
    for (item_ = 0; item_ < task_.requests.size(); ++item_) {
      const auto begin = static_cast<int64_t>(encoded_.requests.size());
      const int64_t truncated = encoded_.truncated;
      longest_ = 0;
      add_item();
      if (longest_ <= max_length_) continue;
      encoded_.requests.erase(encoded_.requests.begin() + begin, encoded_.requests.end());
      encoded_.truncated = truncated;
      encoded_.too_long.push_back({.item = item_, .tokens = longest_});
    }
    return std::move(encoded_);
  }

 private:
  void add_item() {
    for (const auto& [context, continuation] : task_.requests[item_]) {
      if (task_.definition.kind == TaskKind::kRolling) {
        roll(continuation);
      } else if (context.empty()) {
        add(behind_prefix(continuation));
      } else {
        add(pair(context, continuation));
      }
    }
  }

  Ids ids_of(std::string_view text, bool with_specials) const {
    const auto ids =
        with_specials ? encode_prompt(tokenizer_, text) : tokenizer_.encode(text, false, false);
    return {ids.begin(), ids.end()};
  }

  Pair pair(std::string_view context, const std::string& continuation) {
    const std::string_view stripped = python_rstrip(context);
    const std::string whole_text = std::string(context) + continuation;
    if (stripped != last_context_ || last_ids_.empty()) {
      last_context_ = stripped;
      last_ids_ = ids_of(stripped, true);
    }
    // White space alone, where nothing stands in front of a text, is no context.
    if (last_ids_.empty()) return behind_prefix(whole_text);
    Ids whole = ids_of(whole_text, true);
    const size_t cut = std::min(last_ids_.size(), whole.size());
    return {.context = last_ids_,
            .continuation = {whole.begin() + static_cast<int64_t>(cut), whole.end()}};
  }

  /// Without a context the prefix token is one.
  Pair behind_prefix(const std::string& continuation) const {
    Ids ids = ids_of(continuation, false);
    require_prefix();
    if (!ids.empty() && ids.front() == prefix_) {
      return {.context = {prefix_}, .continuation = {ids.begin() + 1, ids.end()}};
    }
    return {.context = {prefix_}, .continuation = std::move(ids)};
  }

  void add(const Pair& pair) {
    const auto scored = static_cast<int64_t>(pair.continuation.size());
    if (scored == 0) refuse("has a continuation without a token of its own");
    longest_ = std::max(longest_, scored);
    if (scored > max_length_) return;
    Ids ids = pair.context;
    ids.insert(ids.end(), pair.continuation.begin(), pair.continuation.end());
    const int64_t over = static_cast<int64_t>(ids.size()) - (max_length_ + 1);
    if (over > 0) {
      ids.erase(ids.begin(), ids.begin() + over);
      ++encoded_.truncated;
    }
    encoded_.requests.push_back({.ids = std::move(ids), .scored = scored, .item = item_});
  }

  /// Windows of which each predicts what no other predicts, with as much before it as fits.
  void roll(const std::string& text) {
    require_prefix();
    Ids all = {prefix_};
    const Ids text_ids = ids_of(text, mode_ == BosMode::kHarness);
    all.insert(all.end(), text_ids.begin(), text_ids.end());
    const auto end = static_cast<int64_t>(all.size());  // all[0] predicts, and is not predicted
    for (int64_t done = 1; done < end;) {
      const int64_t until = std::min(end, done + max_length_);
      const int64_t from = std::max<int64_t>(0, until - max_length_ - 1);
      encoded_.requests.push_back({.ids = {all.begin() + from, all.begin() + until},
                                   .scored = until - done,
                                   .item = item_});
      done = until;
    }
    if (end == 1) refuse("is a text without a token");
  }

  void require_prefix() const {
    if (prefix_ >= 0) return;
    throw CheckpointError(
        {.code = "TOK_BOS",
         .message = fmt::format("task {} has texts without a context, and the "
                                "tokenizer has neither BOS nor EOS to stand there",
                                task_.name),
         .path = task_.path,
         .hint = "name a \"bos_token\" in tokenizer_config.json"});
  }

  [[noreturn]] void refuse(const std::string& what) const {
    throw CheckpointError(
        {.code = "TASK_SCHEMA",
         .message = fmt::format("question {} of task {} {}", item_ + 1, task_.name, what),
         .path = task_.path,
         .hint = "take the question out"});
  }

  const Task& task_;
  const Tokenizer& tokenizer_;
  const int64_t max_length_;
  const BosMode mode_;
  const int64_t prefix_;
  size_t item_ = 0;
  int64_t longest_ = 0;       // tokens of a continuation of the item
  std::string last_context_;  // the choices of a question share it
  Ids last_ids_;
  EncodedTask encoded_;
};

}  // namespace

std::vector<int32_t> encode_prompt(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> ids = tokenizer.encode(text);
  const bool twice =
      tokenizer.adds_bos() && ids.size() > 1 && ids[0] == tokenizer.bos_id() && ids[1] == ids[0];
  if (twice) ids.erase(ids.begin());
  return ids;
}

EncodedTask encode_task(const Task& task, const Tokenizer& tokenizer, int64_t max_length,
                        BosMode bos_mode) {
  return Encoder(task, tokenizer, max_length, bos_mode).encode();
}

std::vector<std::vector<RequestScore>> scores_by_item(const Task& task, const EncodedTask& encoded,
                                                      const std::vector<RequestScore>& scores) {
  std::vector<std::vector<RequestScore>> by_item(task.requests.size());
  const bool rolls = task.definition.kind == TaskKind::kRolling;
  for (size_t i = 0; i < encoded.requests.size(); ++i) {
    auto& item = by_item[encoded.requests[i].item];
    if (rolls && !item.empty()) {
      item[0].log_likelihood += scores[i].log_likelihood;
      item[0].greedy = item[0].greedy && scores[i].greedy;
      item[0].matched += scores[i].matched;
    } else {
      item.push_back(scores[i]);
    }
  }
  return by_item;
}

}  // namespace regroup

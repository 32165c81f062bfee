#include "json_tokenizer.h"

#include <algorithm>

#include "regroup/base/utf8.h"
#include "utf8.h"

namespace regroup {

bool JsonTokenizer::visit(std::string_view text, bool special, const StepSink& sink) const {
  return parts_.added->visit(text, /*normalized=*/false, special, [&](const AddedSegment& segment) {
    const auto begin = static_cast<size_t>(segment.text.data() - text.data());
    if (segment.id >= 0) {
      return sink({.added = segment.id, .rest = text.substr(begin + segment.text.size())});
    }
    return visit_raw(begin, segment.text, special, sink);
  });
}

bool JsonTokenizer::visit_raw(size_t begin, std::string_view raw, bool special,
                              const StepSink& sink) const {
  std::string changed;
  std::string_view normal = raw;
  if (!parts_.normalizer.changes_nothing()) {
    changed = parts_.normalizer.apply(raw);
    normal = changed;
  }
  return parts_.added->visit(
      normal, /*normalized=*/true, special, [&](const AddedSegment& segment) {
        const size_t offset = static_cast<size_t>(segment.text.data() - normal.data());
        Step step{.raw = raw, .normal = normal};
        if (segment.id >= 0) {
          step.added = segment.id;
          step.rest = normal.substr(offset + segment.text.size());
          return sink(step);
        }
        const Piece whole{
            .text = segment.text, .source = segment.text, .first = begin == 0 && offset == 0};
        return parts_.pre_tokenizer.visit(whole, [&](const Piece& piece) {
          step.piece = &piece;
          return sink(step);
        });
      });
}

size_t JsonTokenizer::origin(std::string_view text, const Step& step, std::string_view rest) const {
  if (step.normal.empty()) return static_cast<size_t>(rest.data() - text.data());
  const auto begin = static_cast<size_t>(step.raw.data() - text.data());
  const auto bytes = static_cast<size_t>(rest.data() - step.normal.data());
  return begin + parts_.normalizer.origin(step.raw, bytes);
}

bool JsonTokenizer::encode(std::string_view text, size_t enough, bool special,
                           std::vector<int32_t>& ids) const {
  const std::string repaired = is_utf8(text) ? std::string() : repaired_utf8(text);
  if (!repaired.empty()) text = repaired;
  const ScratchPool::Lease scratch = scratch_.take();
  // Each part between added tokens may grow by a constant; many of them must not.
  const GrowthLimit limit = parts_.normalizer.growth_limit(text.size());
  const size_t before = ids.size();
  return visit(text, special, [&](const Step& step) {
    if (ids.size() >= enough) return false;
    limit.require(ids.size() - before);
    if (step.added >= 0) {
      ids.push_back(step.added);
    } else {
      parts_.model->encode(step.piece->text, *scratch, ids, nullptr);
    }
    return true;
  });
}

std::string JsonTokenizer::decode(const std::vector<int32_t>& ids) const {
  std::vector<std::string> tokens;
  for (const int32_t id : ids) {
    if (id == ends.bos || id == ends.eos) continue;
    if (const std::string* text = token(id)) tokens.push_back(*text);
  }
  return parts_.decoder.decode(std::move(tokens));
}

const std::string* JsonTokenizer::token(int32_t id) const {
  const std::string* added = parts_.added->token(id);
  return added != nullptr ? added : parts_.model->vocabulary().token(id);
}

int64_t JsonTokenizer::prefix_bytes(std::string_view text, size_t n_ids, bool special) const {
  if (!is_utf8(text)) return static_cast<int64_t>(text.size());
  const ScratchPool::Lease scratch = scratch_.take();
  size_t left = n_ids;
  size_t end = 0;
  std::vector<int32_t> ids;
  std::vector<uint32_t> lengths;
  const bool whole = visit(text, special, [&](const Step& step) {
    if (step.added >= 0) {
      if (left == 0) return false;
      --left;
      end = origin(text, step, step.rest);
      return true;
    }
    ids.clear();
    lengths.clear();
    parts_.model->encode(step.piece->text, *scratch, ids, &lengths);
    if (ids.empty()) return true;  // characters that the model leaves out
    if (left == 0) return false;
    const size_t taken = std::min(left, ids.size());
    left -= taken;
    if (left > 0) return true;
    size_t at = 0;
    for (size_t i = 0; i < taken; ++i) at += lengths[i];
    end = origin(text, step, PieceCutter(*step.piece).source_at(at));
    return taken == ids.size();
  });
  return static_cast<int64_t>(whole ? text.size() : std::max(end, size_t{0}));
}

}  // namespace regroup

// Texts that models continued, side by side.
#include <fmt/format.h>

#include <algorithm>

#include "compose.h"
#include "report_document.h"
#include "report_numbers.h"
#include "report_queries.h"

namespace regroup {
namespace {

/// A model that is broken can write nothing but line breaks, which would fill pages.
std::string without_empty_pages(const std::string& text) {
  constexpr size_t kMost = 2;  // a paragraph's end
  std::string shown;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find_first_not_of('\n', at), text.size());
    const size_t breaks = end - at;
    if (breaks > kMost) {
      shown += fmt::format("{}[{} line breaks]{}", shown.empty() ? "" : "\n", breaks,
                           end < text.size() ? "\n" : "");
    } else {
      shown.append(breaks, '\n');
    }
    at = std::min(text.find('\n', end), text.size());
    shown += text.substr(end, at - end);
  }
  return shown;
}

}  // namespace

void sections::samples(const ReportData& data, std::vector<Section>& all) {
  Section section{.id = "samples", .title = "Sample continuations", .blocks = {}};
  for (const Sample& sample : data.samples) {
    SampleBlock block{.prompt = sample.prompt, .texts = {}};
    for (const Continuation& text : sample.continuations) {
      const ModelRole role = role_in(data, text.role, text.n_kv_heads);
      block.texts.push_back({fmt::format("{}, {}", role_label(role), heads_text(text.n_kv_heads)),
                             role, without_empty_pages(text.text)});
    }
    section.blocks.push_back(std::move(block));
  }
  if (!section.blocks.empty()) all.push_back(std::move(section));
}

}  // namespace regroup

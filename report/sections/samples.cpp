// Texts that models continued, side by side.
#include <fmt/format.h>

#include "compose.h"
#include "report_document.h"
#include "report_numbers.h"
#include "report_queries.h"

namespace regroup {

void sections::samples(const ReportData& data, std::vector<Section>& all) {
  Section section{.id = "samples", .title = "Sample continuations", .blocks = {}};
  for (const ReportSample& sample : data.samples) {
    SampleBlock block{.prompt = sample.prompt, .texts = {}};
    for (const ReportContinuation& text : sample.continuations) {
      const ModelRole role = role_in(data, text.role, text.n_kv_heads);
      block.texts.push_back(
          {fmt::format("{}, {}", role_label(role), heads_text(text.n_kv_heads)), role, text.text});
    }
    section.blocks.push_back(std::move(block));
  }
  if (!section.blocks.empty()) all.push_back(std::move(section));
}

}  // namespace regroup

// What the smaller cache means at the user's context and batch.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compose.h"
#include "regroup/base/human_number.h"
#include "report_document.h"
#include "report_numbers.h"

namespace regroup {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr size_t kMostLines = 8;

const PlanOption* find_option(const PlanResult& plan, int64_t n_kv_heads) {
  for (const PlanOption& option : plan.options) {
    if (option.n_kv_heads == n_kv_heads) return &option;
  }
  return nullptr;
}

bool evaluated(const ReportData& data, int64_t n_kv_heads) {
  return std::any_of(data.models.begin(), data.models.end(),
                     [&](const auto& model) { return model.n_kv_heads == n_kv_heads; });
}

/// The option to compare with the model as it is: one that was converted to, else the recommended.
std::vector<const PlanOption*> compared_options(const ReportData& data, const PlanResult& plan) {
  std::vector<const PlanOption*> options;
  for (const PlanOption& option : plan.options) {
    if (option.n_kv_heads != plan.n_kv_heads && evaluated(data, option.n_kv_heads)) {
      options.push_back(&option);
    }
  }
  if (options.empty() && plan.recommended && *plan.recommended != plan.n_kv_heads) {
    if (const auto* option = find_option(plan, *plan.recommended)) options.push_back(option);
  }
  return options;
}

std::string comparison(const PlanResult& plan, const PlanOption& small, const PlanOption& now) {
  std::string text =
      fmt::format("{} instead of {} need {} of cache instead of {}", heads_text(small.n_kv_heads),
                  now.n_kv_heads, human_bytes(small.kv_bytes), human_bytes(now.kv_bytes));
  if (small.max_batch && now.max_batch && plan.gpu_memory_bytes) {
    text += fmt::format(", and {} holds {} sequences of this length instead of {}",
                        human_bytes(*plan.gpu_memory_bytes), grouped_digits(*small.max_batch),
                        grouped_digits(*now.max_batch));
  }
  return text;
}

std::string situation(const PlanResult& plan) {
  std::string text = fmt::format("At a context of {} tokens and a batch of {}",
                                 grouped_digits(plan.context), grouped_digits(plan.batch));
  if (!plan.kv_dtype.empty()) text += fmt::format(", cached as {}", plan.kv_dtype);
  return text;
}

std::string optional_count(const std::optional<int64_t>& count) {
  return count ? grouped_digits(*count) : kNothing;
}

std::string optional_bytes(const std::optional<int64_t>& bytes) {
  return bytes ? human_bytes(*bytes) : kNothing;
}

Table plan_table(const PlanResult& plan) {
  const bool limited = plan.gpu_memory_bytes.has_value();
  Table table{.caption = situation(plan),
              .columns = {{"KV heads", ColumnKind::kNumber},
                          {"Cache a token", ColumnKind::kNumber},
                          {"Cache", ColumnKind::kNumber},
                          {"Weights", ColumnKind::kNumber},
                          {"Together", ColumnKind::kNumber}},
              .rows = {}};
  if (limited) {
    table.caption += fmt::format(", on {} of memory", human_bytes(*plan.gpu_memory_bytes));
    table.columns.push_back({"Fits"});
    table.columns.push_back({"Largest batch", ColumnKind::kNumber});
    table.columns.push_back({"Longest context", ColumnKind::kNumber});
  }
  for (const PlanOption& option : plan.options) {
    std::vector<Cell> row = {{option.n_kv_heads > 0 ? std::to_string(option.n_kv_heads) : kNothing},
                             {human_bytes(option.kv_bytes_per_token)},
                             {human_bytes(option.kv_bytes)},
                             {optional_bytes(option.weight_bytes)},
                             {optional_bytes(option.total_bytes)}};
    if (option.n_kv_heads == plan.n_kv_heads) row[0].note = "as it is";
    if (limited) {
      row.push_back({option.fits ? (*option.fits ? "yes" : "no") : kNothing});
      row.push_back({optional_count(option.max_batch)});
      row.push_back({optional_count(option.max_context)});
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

BarChart plan_chart(const PlanResult& plan) {
  BarChart chart{.title = "Memory by number of KV heads",
                 .legend = {{"weights", 5}, {"KV cache", 1}},
                 .bars = {},
                 .limit = 0,
                 .limit_label = {}};
  double longest = 0;
  for (const PlanOption& option : plan.options) {
    const int64_t total = option.total_bytes.value_or(option.kv_bytes);
    chart.bars.push_back({heads_text(option.n_kv_heads),
                          human_bytes(total),
                          {{static_cast<double>(option.weight_bytes.value_or(0)), 5},
                           {static_cast<double>(option.kv_bytes), 1}}});
    longest = std::max(longest, static_cast<double>(total));
  }
  // A limit far beyond the bars would squeeze them to nothing; the table says that all fit.
  const double limit = static_cast<double>(plan.gpu_memory_bytes.value_or(0));
  if (limit <= 2.5 * longest && limit > 0) {
    chart.limit = limit;
    chart.limit_label = human_bytes(*plan.gpu_memory_bytes) + " available";
  }
  return chart;
}

/// Whether every token of a sequence takes as much: no windows, no states.
bool grows_evenly(const PlanResult& plan) {
  if (plan.context <= 0 || plan.batch <= 0) return false;
  return std::all_of(plan.options.begin(), plan.options.end(), [&](const PlanOption& o) {
    const double even = static_cast<double>(o.kv_bytes_per_token) *
                        static_cast<double>(plan.context) * static_cast<double>(plan.batch);
    return std::abs(even - static_cast<double>(o.kv_bytes)) <= 0.001 * even;
  });
}

ChartSeries context_series(const PlanResult& plan, const PlanOption& option, size_t index) {
  constexpr Marker kMarkers[] = {Marker::kSquare, Marker::kTriangle, Marker::kCircle,
                                 Marker::kDiamond};
  ChartSeries series{.name = heads_text(option.n_kv_heads),
                     .colour = static_cast<int>(index % 4) + 1,
                     .marker = kMarkers[index % 4],
                     .dashed = index >= 4};
  for (double factor = 1.0 / 16; factor <= 4; factor *= 2) {
    const double context = factor * static_cast<double>(plan.context);
    const double bytes = factor * static_cast<double>(option.kv_bytes);
    series.points.push_back(
        {context, bytes / kGiB,
         fmt::format("{}: {} at {} tokens", series.name, human_bytes(std::llround(bytes)),
                     grouped_digits(std::llround(context)))});
  }
  return series;
}

/// The cache from a sixteenth to four times the context, where it grows with every token alike.
void add_context_chart(const PlanResult& plan, Section& section) {
  if (!grows_evenly(plan) || plan.options.size() < 2) return;
  LineChart chart{.title = "KV cache by context",
                  .x_label = "context (tokens, logarithmic)",
                  .y_label = "KV cache (GiB, logarithmic)",
                  .x_format = AxisFormat::kCount,
                  .log_x = true,
                  .log_y = true};
  for (size_t i = 0; i < std::min(plan.options.size(), kMostLines); ++i) {
    chart.series.push_back(context_series(plan, plan.options[i], i));
  }
  if (plan.gpu_memory_bytes) {
    chart.references.push_back({static_cast<double>(*plan.gpu_memory_bytes) / kGiB,
                                human_bytes(*plan.gpu_memory_bytes) + " available, weights too",
                                5});
  }
  section.blocks.push_back(
      Figure{.chart = std::move(chart),
             .caption = fmt::format("KV cache by context, at a batch of {}{}: computed, not "
                                    "measured.",
                                    grouped_digits(plan.batch),
                                    plan.kv_dtype.empty() ? "" : ", cached as " + plan.kv_dtype),
             .numbers = {},
             .repeats_table = true});
}

void add_plan_blocks(const ReportData& data, const PlanResult& plan, Section& section) {
  const PlanOption* now = find_option(plan, plan.n_kv_heads);
  std::string text;
  for (const PlanOption* option : compared_options(data, plan)) {
    if (now == nullptr) break;
    text += (text.empty() ? "" : "; ") + comparison(plan, *option, *now);
  }
  if (!text.empty()) section.blocks.push_back(Paragraph{situation(plan) + ": " + text + "."});
  if (!plan.options.empty()) {
    section.blocks.push_back(
        Figure{.chart = plan_chart(plan),
               .caption = "Weights and KV cache together, at this context and batch.",
               .numbers = {},
               .repeats_table = true});
    add_context_chart(plan, section);
    section.blocks.push_back(plan_table(plan));
  }
  if (!plan.why.empty()) section.blocks.push_back(Paragraph{"The plan: " + plan.why + "."});
  for (const std::string& warning : plan.warnings) {
    section.blocks.push_back(Paragraph{"Warning: " + warning});
  }
}

/// Without a plan: the bytes a token of the models that were evaluated.
void add_cache_bars(const ReportData& data, Section& section) {
  BarChart chart{.title = "KV cache a token by number of KV heads",
                 .legend = {},
                 .bars = {},
                 .limit = 0,
                 .limit_label = {}};
  std::vector<int64_t> seen;
  for (const ReportModel& model : data.models) {
    const bool known = std::find(seen.begin(), seen.end(), model.n_kv_heads) != seen.end();
    if (known || model.kv_bytes_per_token <= 0) continue;
    seen.push_back(model.n_kv_heads);
    chart.bars.push_back({heads_text(model.n_kv_heads),
                          human_bytes(model.kv_bytes_per_token),
                          {{static_cast<double>(model.kv_bytes_per_token), 1}}});
  }
  if (chart.bars.size() < 2) return;
  section.blocks.push_back(Figure{std::move(chart),
                                  "Bytes that the cache grows by with every token of a sequence, "
                                  "in the dtype of the weights. regroup plan says what that means "
                                  "for a context, a batch and a GPU.",
                                  {}});
}

}  // namespace

void sections::memory(const ReportData& data, std::vector<Section>& all) {
  Section section{.id = "memory", .title = "Memory of the KV cache", .blocks = {}};
  for (const PlanResult& plan : data.plans) add_plan_blocks(data, plan, section);
  if (data.plans.empty()) add_cache_bars(data, section);
  if (!section.blocks.empty()) all.push_back(std::move(section));
}

}  // namespace regroup

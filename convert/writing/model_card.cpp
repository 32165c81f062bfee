#include "model_card.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <vector>

#include "regroup/base/human_number.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"
#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/kv_cache.h"
#include "regroup/version.h"

namespace regroup {
namespace {

constexpr int64_t kBf16 = 16;  // bits

/// "org/name" of a snapshot in the hub's cache, else the folder's own name.
std::string parent_name(const std::string& folder) {
  const std::filesystem::path path =
      std::filesystem::absolute(without_last_slash(folder)).lexically_normal();
  const std::string cache = path.parent_path().parent_path().filename().string();
  constexpr std::string_view kModels = "models--";
  if (path.parent_path().filename() != "snapshots" || !cache.starts_with(kModels)) {
    return printable(path.filename().string(), 100);
  }
  std::string name = cache.substr(kModels.size());
  if (const size_t at = name.find("--"); at != std::string::npos) name.replace(at, 2, "/");
  return printable(name, 100);
}

/// The lines of a card's front matter that say under which licence the model is, and in which languages.
std::vector<std::string> kept_lines(const std::string& card) {
  constexpr std::string_view kFence = "---\n";
  std::vector<std::string> kept;
  if (!card.starts_with(kFence)) return kept;
  const size_t end = card.find("\n---", kFence.size() - 1);
  if (end == std::string::npos) return kept;
  bool inside = false;  // of what a kept key holds in the lines below it
  for (size_t at = kFence.size(); at < end;) {
    const size_t stop = std::min(card.find('\n', at), end);
    const std::string line = card.substr(at, stop - at);
    const bool continues = line.starts_with(' ') || line.starts_with('-');
    inside = continues ? inside : line.starts_with("license") || line.starts_with("language:");
    if (inside) kept.push_back(line);
    at = stop + 1;
  }
  return kept;
}

std::string front_matter(const std::string& parent, const std::string& parent_card) {
  std::string text = "---\n";
  for (const std::string& line : kept_lines(parent_card)) text += line + "\n";
  return text + fmt::format(
                    "base_model: {}\npipeline_tag: text-generation\ntags:\n- regroup\n- "
                    "grouped-query-attention\n---\n",
                    parent);
}

std::string sizes_table(const ConversionPlan& plan) {
  const auto cache = [&](const ModelConfig& c) {
    return human_bytes(kv_bytes_per_token(c, c.n_kv_heads, kBf16));
  };
  const ModelConfig& before = plan.before;
  const ModelConfig& after = plan.after;
  return fmt::format(
      "| | parent | this model |\n|---|---:|---:|\n| query heads | {} | {} |\n| key/value heads | "
      "{} "
      "| {} |\n| KV cache of a token, bf16 | {} | {} |\n",
      before.n_heads, after.n_heads, before.n_kv_heads, after.n_kv_heads, cache(before),
      cache(after));
}

std::string command(const ConvertOptions& options, int64_t kv_heads) {
  std::string text = fmt::format("regroup convert PARENT OUT --kv-heads {} --method {}", kv_heads,
                                 method_name(options.method));
  if (options.calibration.reads_own_text()) {
    text += " --calibration self";
  } else if (!options.calibration.files.empty()) {
    text += " --calibration FILE";
  }
  return text;
}

std::string quality(const ConversionPlan& plan) {
  if (plan.after.n_kv_heads >= plan.before.n_kv_heads) {
    return "It computes what its parent computes: heads are repeated, not merged.\n";
  }
  if (!plan.quality) {
    return "Its quality was not measured. `regroup eval OUT --baseline PARENT --text FILE` does "
           "it. A model "
           "converted without text needs some uptraining (`regroup uptrain`).\n";
  }
  const HeldOutQuality& q = *plan.quality;
  return fmt::format(
      "Right after the conversion, before any uptraining, on {} windows of the calibration text "
      "that "
      "were held out:\n\n| | parent | this model |\n|---|---:|---:|\n| loss, nats a token | {:.4f} "
      "| "
      "{:.4f} |\n| KL divergence from the parent, nats a token | | {:.4f} |\n| likeliest token is "
      "the "
      "parent's | | {:.1f} % |\n| worst window, nats a token more than the parent | | {:.4f} |\n",
      q.rises.size(), q.parent_loss, q.loss, q.kl, 100 * q.same_top1, q.worst_rise());
}

std::string other_class(const ModelConfig& after) {
  return fmt::format(
      "It is a {}, which computes what the parent's class does; that one shares no key/value "
      "heads.\n\n",
      after.architecture);
}

std::string carried_over(const ConversionPlan& plan) {
  std::vector<std::string> names;
  for (const std::string& name : plan.copied_files) {
    if (name == kModelCardName) continue;
    names.push_back(fmt::format("`{}`", printable(name, 100)));
  }
  return names.empty() ? "No file but the weights and config.json came with the parent.\n"
                       : fmt::format("Byte for byte the parent's: {}.\n", join(names, ", "));
}

}  // namespace

std::string parent_card_name(const ConversionPlan& plan) {
  const std::vector<std::string>& taken = plan.copied_files;
  std::string name = "README-parent.md";
  for (int i = 2; std::find(taken.begin(), taken.end(), name) != taken.end(); ++i) {
    name = fmt::format("README-parent-{}.md", i);
  }
  return name;
}

std::string model_card(const ConversionPlan& plan, const ConvertOptions& options,
                       const std::string& parent_card) {
  const std::string parent = parent_name(options.model);
  const int64_t g = plan.after.n_kv_heads;
  std::string text = front_matter(parent, parent_card);
  text += fmt::format("\n# {} with {} key/value head{}\n\n", parent, g, g == 1 ? "" : "s");
  text += fmt::format(
      "{} ({}), converted by regroup {} with the method `{}`{}. regroup.json says how, with the "
      "digests of all files.\n\n",
      parent, plan.stored.architecture, kVersion, method_name(options.method),
      plan.calibration_tokens > 0
          ? fmt::format(", calibrated on {} tokens of text", plan.calibration_tokens)
          : "");
  if (plan.after.family != plan.stored.family) text += other_class(plan.after);
  if (const std::string_view limit = serving_limit(plan.after); !limit.empty()) {
    text += fmt::format("Where to serve it: {}.\n\n", limit);
  }
  text += sizes_table(plan) + "\n" + quality(plan) + "\n```sh\n" + command(options, g) +
          "\nregroup verify OUT --against PARENT\n```\n\n" + carried_over(plan);
  if (!parent_card.empty()) {
    text += fmt::format("The parent's card is {}; its terms of use hold for this model too.\n",
                        parent_card_name(plan));
  }
  return text;
}

}  // namespace regroup

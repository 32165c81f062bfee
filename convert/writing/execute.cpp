#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "model_card.h"
#include "regroup/base/disk_space.h"
#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/base/manifest_name.h"
#include "regroup/base/output_file.h"
#include "regroup/base/stop_signal.h"
#include "regroup/checkpoint/output_path.h"
#include "regroup/convert/calibration_sizes.h"
#include "regroup/convert/plan.h"
#include "regroup/convert/spent_budget.h"
#include "regroup/version.h"
#include "tensor_writer.h"

namespace regroup {
namespace {

Json calibration_arguments(const CalibrationOptions& options) {
  Json text = Json::array();
  for (const std::string& path : options.text_files()) text.push_back(sha256_of_file(path));
  if (options.reads_own_text()) text = kOwnText;
  Json json = {{"text_sha256", text},
               {"field", options.documents.field},
               {"document_separator", options.documents.separator},
               {"tokens", options.tokens},
               {"seq_len", options.seq_len},
               {"windows", "spread"},
               {"sequential", options.sequential},
               {"refit_output", options.refit_output},
               {"layer_steps", options.layer_steps},
               {"layer_batch", options.layer_batch},
               {"layer_lr", options.layer_lr.value_or(0)},
               {"distill_steps", options.distill_steps.value_or(0)}};
  if (options.refits()) {
    json["first_tokens"] = options.first_tokens;
    json["distill_lr"] = options.distill_lr.value_or(0);
  }
  const std::string& joined = options.documents.field_separator;
  if (!joined.empty()) json["field_separator"] = joined;
  if (options.documents.parse_special_tokens) json["parse_special_tokens"] = true;
  if (!options.documents.chat_date.empty()) json["chat_date"] = options.documents.chat_date;
  return json;
}

/// The settings that decide the bytes of the output.
Json arguments(const ModelConfig& parent, const ConvertOptions& options) {
  Json json = {{"kv_heads", options.n_kv_heads},
               {"method", method_name(options.method)},
               {"grouping", grouping_name(options.chosen_grouping())},
               {"seed", options.seed},
               {"dtype", options.dtype},
               {"max_shard_size", options.max_shard_bytes},
               {"allow_nonfinite", options.allow_nonfinite}};
  if (options.method == Method::kPca) {
    json["logit_gain"] = gain_name(options.logit_gain);
    json["output_gain"] = gain_name(options.output_gain);
  }
  const CalibrationOptions& calibration = options.calibration;
  if (needs_transforms(parent, options) && runs_vocabulary(options.method, calibration)) {
    json["vocabulary_tokens"] = kVocabularyTokens;
  }
  if (!calibration.files.empty()) json["calibration"] = calibration_arguments(calibration);
  if (!calibration.statistics.empty()) {
    json["statistics_sha256"] = sha256_of_file(calibration.statistics);
  }
  return json;
}

Json layer_records(const std::vector<LayerReport>& layers) {
  Json records = Json::array();
  for (const LayerReport& layer : layers) {
    Json record = {{"order", layer.order},
                   {"key_residual", layer.key_residual},
                   {"value_residual", layer.value_residual}};
    if (layer.closed) record["held_out_error"]["closed_form"] = *layer.closed;
    if (layer.refitted) record["held_out_error"]["output_refit"] = *layer.refitted;
    if (layer.trained) {
      record["held_out_error"]["layer_training"] = *layer.trained;
      record["steps"] = layer.steps;
    }
    records.push_back(std::move(record));
  }
  return records;
}

Json calibration_record(const ConversionPlan& plan) {
  Json record = {{"tokens", plan.calibration_tokens}, {"flops", plan.calibration_flops}};
  if (plan.quality) record["held_out"] = quality_json(*plan.quality);
  if (plan.before_distillation) {
    record["held_out_before_distillation"] = quality_json(*plan.before_distillation);
  }
  return record;
}

/// Whether Q or O differ from the parent's, folded or calibrated: verify lets what changed differ.
bool changes_queries(const ConversionPlan& plan) {
  for (const ShardPlan& shard : plan.shards) {
    for (const TensorPlan& tensor : shard.tensors) {
      for (const PartPlan& part : tensor.parts) {
        const bool query = part.role == Role::kQuery || part.role == Role::kQueryBias;
        if ((query || part.role == Role::kOutput) && !is_plain(part.action)) return true;
      }
    }
  }
  return false;
}

Json file_record(const std::string& sha256, int64_t size) {
  return {{"sha256", sha256}, {"size", size}};
}

class Executor {
 public:
  Executor(const ModelFolder& model, const ConversionPlan& plan, const ConvertOptions& options,
           const ProgressFunction& progress, OutputFolder& folder, const DenseFold* dense)
      : model_(model),
        plan_(plan),
        options_(options),
        progress_(progress),
        folder_(folder),
        dense_(dense),
        source_(model, pool_) {}

  ConvertResult run() {
    if (plan_.transforms.empty()) throw std::logic_error("a plan that is not settled");
    for (const ShardPlan& shard : plan_.shards) write_shard(shard);
    write_companions();
    if (!plan_.index_text.empty()) write_text("model.safetensors.index.json", plan_.index_text);
    write_text("config.json", plan_.config_text);
    const std::vector<std::string> source_digests = source_.finish();
    model_.require_unchanged();
    write_text(kManifestName, manifest(source_digests).dump(2) + "\n");
    // What is about to be published must pass the checks that a reader of it will make.
    ModelFolder::open(folder_.partial());
    folder_.publish();
    result_.read_bytes = plan_.read_bytes;
    return std::move(result_);
  }

 private:
  void write_shard(const ShardPlan& shard) {
    Json record;
    if (const auto finished = folder_.finished(shard.name)) {
      record = *finished;
      ++result_.resumed_files;
      done_ += shard.bytes;
    } else {
      record = produce(shard);
      folder_.commit(shard.name, record);
      any_committed_ = true;
    }
    for (const Json& tensor : record.at("tensors")) tensors_.push_back(tensor);
    note(shard.name, record);
    report();
  }

  Json produce(const ShardPlan& shard) {
    ShardWriter out(folder_.staging_path(shard.name), shard.prefix, shard.bytes, pool_, hashing_,
                    writing_);
    TensorWriter writer(source_, pool_, plan_, options_, dense_);
    Json tensors = Json::array();
    done_ += static_cast<int64_t>(shard.prefix.size());
    for (const TensorPlan& tensor : shard.tensors) {
      throw_if_stopped(any_committed_ || folder_.resumed() || !plan_.weights_folder.empty());
      writer.write(tensor, out);
      tensors.push_back({{"name", tensor.spec.name},
                         {"dtype", dtype_name(tensor.spec.dtype)},
                         {"shape", tensor.spec.shape},
                         {"action", action_name(tensor.action())},
                         {"xxh3_128", out.end_tensor()}});
      done_ += tensor_bytes(tensor.spec.dtype, tensor.spec.shape);
      report();
    }
    model_.require_unchanged();
    Json record = file_record(out.finish(), shard.bytes);
    record["tensors"] = std::move(tensors);
    return record;
  }

  /// What is neither weights nor config.json, as the parent has it; another model has a card of its own.
  void write_companions() {
    const bool same = plan_.after.n_kv_heads == plan_.before.n_kv_heads && options_.dtype == "keep";
    std::string parent_card;
    for (const std::string& name : plan_.copied_files) {
      const std::string text = InputFile(model_.path() + "/" + name).read_all();
      const bool card = name == kModelCardName && !same;
      if (card) parent_card = text;
      write_text(card ? parent_card_name(plan_) : name, text);
    }
    if (!same) write_text(kModelCardName, model_card(plan_, options_, parent_card));
  }

  void write_text(const std::string& name, const std::string& text) {
    OutputFile file(folder_.staging_path(name));
    file.write(text);
    file.sync_and_close();
    const Json record = file_record(sha256_of_text(text), static_cast<int64_t>(text.size()));
    folder_.commit(name, record);
    note(name, record);
  }

  void note(const std::string& name, const Json& record) {
    const auto sha256 = record.at("sha256").get<std::string>();
    result_.digests.emplace_back(name, sha256);
    result_.written_bytes += record.at("size").get<int64_t>();
    files_.push_back({{"path", name}, {"size", record.at("size")}, {"sha256", sha256}});
  }

  Json manifest(const std::vector<std::string>& source_digests) const {
    Json source = Json::array();
    for (size_t i = 0; i < source_digests.size(); ++i) {
      source.push_back({{"path", model_.shard_names()[i]},
                        {"size", model_.shards()[i]->file().size()},
                        {"sha256", source_digests[i]}});
    }
    source.push_back({{"path", "config.json"},
                      {"size", model_.config_text().size()},
                      {"sha256", sha256_of_text(model_.config_text())}});
    Json json = {
        {"format", "regroup-manifest/1"},
        {"tool", {{"name", "regroup"}, {"version", kVersion}}},
        {"method",
         {{"name", method_name(options_.method)},
          {"seed", options_.seed},
          {"n_kv_heads", {{"before", plan_.before.n_kv_heads}, {"after", plan_.after.n_kv_heads}}},
          {"changes_queries", changes_queries(plan_)}}},
        {"arguments", arguments(plan_.before, options_)},
        {"source", {{"files", source}}},
        {"output", {{"files", files_}, {"tensors", tensors_}}}};
    if (!plan_.layers.empty()) json["method"]["layers"] = layer_records(plan_.layers);
    if (options_.method == Method::kPca && !plan_.layers.empty()) {
      json["method"]["gains"] = {{"logit", plan_.gains.logit}, {"output", plan_.gains.output}};
    }
    if (plan_.calibration_tokens > 0) {
      json["method"]["calibration"] = calibration_record(plan_);
    }
    return json;
  }

  void report() const {
    if (progress_) progress_(done_, plan_.written_bytes);
  }

  const ModelFolder& model_;
  const ConversionPlan& plan_;
  const ConvertOptions& options_;
  const ProgressFunction& progress_;
  OutputFolder& folder_;
  const DenseFold* dense_;
  ChunkPool pool_;
  SourceReader source_;
  WorkThread hashing_;
  WorkThread writing_;
  ConvertResult result_;
  Json files_ = Json::array();
  Json tensors_ = Json::array();
  int64_t done_ = 0;
  bool any_committed_ = false;
};

}  // namespace

Json conversion_job(const ModelFolder& model, const ConvertOptions& options) {
  Json job = {{"command", "convert"},
              {"version", kVersion},
              {"arguments", arguments(model.config(), options)}};
  // The manifest holds what it came to.
  const CalibrationBudget& budget = options.calibration.budget;
  if (budget.given()) job[kBudgetKey] = budget_json(budget);
  job["config_sha256"] = sha256_of_text(model.config_text());
  for (size_t i = 0; i < model.shards().size(); ++i) {
    const struct stat& status = model.shards()[i]->file().status();
    job["source"].push_back({model.shard_names()[i], int64_t{status.st_size},
                             int64_t{status.st_mtim.tv_sec}, int64_t{status.st_mtim.tv_nsec}});
  }
  return job;
}

void check_output(const ConvertOptions& options) {
  std::vector<std::string> inputs = options.calibration.text_files();
  inputs.push_back(options.model);
  inputs.push_back(options.calibration.statistics);
  check_output_path(options.out, inputs, options.output.overwrite);
}

OutputFolder open_output(const ModelFolder& model, const ConvertOptions& options) {
  return OutputFolder(options.out, conversion_job(model, options), options.output);
}

ConvertResult execute_conversion(const ModelFolder& model, const ConversionPlan& plan,
                                 const ConvertOptions& options, const ProgressFunction& progress,
                                 OutputFolder& folder, const DenseFold* dense) {
  return Executor(model, plan, options, progress, folder, dense).run();
}

ConvertResult execute_conversion(const ModelFolder& model, const ConversionPlan& plan,
                                 const ConvertOptions& options, const ProgressFunction& progress) {
  check_output(options);
  require_free_space(options.out, plan.written_bytes);
  OutputFolder folder = open_output(model, options);
  return execute_conversion(model, plan, options, progress, folder, nullptr);
}

}  // namespace regroup

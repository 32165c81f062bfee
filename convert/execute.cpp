#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/manifest.h"
#include "regroup/checkpoint/stop_signal.h"
#include "regroup/convert/plan.h"
#include "regroup/version.h"
#include "tensor_writer.h"

namespace regroup {
namespace {

/// The settings that decide the bytes of the output.
Json arguments(const ConvertOptions& options) {
  return {{"kv_heads", options.n_kv_heads},
          {"method", method_name(options.method)},
          {"grouping", options.grouping},
          {"seed", options.seed},
          {"dtype", options.dtype},
          {"max_shard_size", options.max_shard_bytes},
          {"allow_nonfinite", options.allow_nonfinite}};
}

/// What must be the same for an interrupted run to be resumed.
Json make_job(const ModelFolder& model, const ConvertOptions& options) {
  Json job = {{"command", "convert"}, {"version", kVersion}, {"arguments", arguments(options)}};
  job["config_sha256"] = sha256_of_text(model.config_text());
  for (size_t i = 0; i < model.shards().size(); ++i) {
    const struct stat& status = model.shards()[i]->file().status();
    job["source"].push_back({model.shard_names()[i], int64_t{status.st_size},
                             int64_t{status.st_mtim.tv_sec}, int64_t{status.st_mtim.tv_nsec}});
  }
  return job;
}

Json file_record(const std::string& sha256, int64_t size) {
  return {{"sha256", sha256}, {"size", size}};
}

class Executor {
 public:
  Executor(const ModelFolder& model, const ConversionPlan& plan, const ConvertOptions& options,
           const ProgressFunction& progress)
      : model_(model),
        plan_(plan),
        options_(options),
        progress_(progress),
        folder_(options.out, make_job(model, options), options.output),
        source_(model, pool_) {}

  ConvertResult run() {
    for (const ShardPlan& shard : plan_.shards) write_shard(shard);
    for (const std::string& name : plan_.copied_files) {
      write_text(name, InputFile(model_.path() + "/" + name).read_all());
    }
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
    ShardWriter out(folder_.staging_path(shard.name), shard.prefix, shard.bytes, pool_, hashing_);
    TensorWriter writer(source_, pool_, plan_, options_);
    Json tensors = Json::array();
    done_ += static_cast<int64_t>(shard.prefix.size());
    for (const TensorPlan& tensor : shard.tensors) {
      throw_if_stopped(any_committed_ || folder_.resumed());
      writer.write(tensor, out);
      tensors.push_back({{"name", tensor.spec.name},
                         {"dtype", dtype_name(tensor.spec.dtype)},
                         {"shape", tensor.spec.shape},
                         {"action", action_name(tensor.action)},
                         {"xxh3_128", out.end_tensor()}});
      done_ += tensor_bytes(tensor.spec.dtype, tensor.spec.shape);
      report();
    }
    model_.require_unchanged();
    Json record = file_record(out.finish(), shard.bytes);
    record["tensors"] = std::move(tensors);
    return record;
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
    bool changes_queries = false;
    for (const LayerTransform& transform : plan_.transforms) {
      changes_queries |= transform.changes_queries() || transform.changes_outputs();
    }
    return {
        {"format", "regroup-manifest/1"},
        {"tool", {{"name", "regroup"}, {"version", kVersion}}},
        {"method",
         {{"name", method_name(options_.method)},
          {"seed", options_.seed},
          {"n_kv_heads", {{"before", plan_.before.n_kv_heads}, {"after", plan_.after.n_kv_heads}}},
          {"changes_queries", changes_queries}}},
        {"arguments", arguments(options_)},
        {"source", {{"files", source}}},
        {"output", {{"files", files_}, {"tensors", tensors_}}}};
  }

  void report() const {
    if (progress_) progress_(done_, plan_.written_bytes);
  }

  const ModelFolder& model_;
  const ConversionPlan& plan_;
  const ConvertOptions& options_;
  const ProgressFunction& progress_;
  OutputFolder folder_;
  ChunkPool pool_;
  SourceReader source_;
  HashThread hashing_;
  ConvertResult result_;
  Json files_ = Json::array();
  Json tensors_ = Json::array();
  int64_t done_ = 0;
  bool any_committed_ = false;
};

}  // namespace

ConvertResult execute_conversion(const ModelFolder& model, const ConversionPlan& plan,
                                 const ConvertOptions& options, const ProgressFunction& progress) {
  check_output_path(options.out, model.path(), options.output.overwrite);
  require_free_space(options.out, plan.written_bytes);
  return Executor(model, plan, options, progress).run();
}

}  // namespace regroup

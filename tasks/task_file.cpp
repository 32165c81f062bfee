// What is read of the files of a task.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "neutral_form.h"
#include "prompts.h"
#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/base/printable.h"
#include "regroup/tasks/task.h"
#include "regroup/text/records.h"
#include "regroup/text/text_source.h"
#include "regroup/text/token_stream.h"
#include "task_place.h"

namespace regroup {
namespace {

constexpr int64_t kMaxDocuments = 10'000'000;

/// What a file holds: its documents, and each as a question.
struct Questions {
  std::vector<Json> documents;
  std::vector<TaskQuestion> questions;
};

class Reader {
 public:
  Reader(TaskDefinition& definition, bool is_known) : definition_(definition), known_(is_known) {}

  Questions read(const std::vector<std::string>& files) {
    for (const std::string& path : files) {
      if (definition_.split_text != nullptr && without_compression(path).ends_with(".txt")) {
        read_text(path);
        continue;
      }
      read_records(path, [&](const Json& record, const std::string& where) {
        add(record, where);
        return true;
      });
    }
    return std::move(found_);
  }

 private:
  void read_text(const std::string& path) {
    TextSource source(path);
    std::string text;
    std::vector<std::byte> block(1 << 20);
    while (const size_t n = source.read(block)) {
      text.append(reinterpret_cast<const char*>(block.data()), n);
    }
    int64_t number = 0;
    for (const Json& document : definition_.split_text(text)) {
      add(document, fmt::format("{} document {}", path, ++number));
    }
    if (found_.documents.empty()) {
      throw CheckpointError({.code = "TEXT_EMPTY",
                             .message = "must hold some text, found none",
                             .path = path,
                             .hint = "check that this is the right file"});
    }
  }

  void add(const Json& json, const std::string& where) {
    const TaskRecord record(json, where);
    const bool plain_text =
        definition_.kind == TaskKind::kRolling && record.has("text") && !record.has("page");
    const bool neutral = is_neutral(json) || !known_ || plain_text;
    if (found_.documents.empty() && !known_) definition_ = neutral_definition(record);
    if (neutral && neutral_kind(record) != definition_.kind) {
      record.refuse("must be a question of the same kind as the first one of the file");
    }
    if (neutral) require_new(json, record);
    found_.questions.push_back(neutral ? neutral_question(record) : definition_.question(record));
    found_.documents.push_back(json);
    if (static_cast<int64_t>(found_.documents.size()) > kMaxDocuments) {
      record.refuse(fmt::format("must be one of at most {} questions", kMaxDocuments));
    }
  }

  void require_new(const Json& json, const TaskRecord& record) {
    if (!json.is_object()) return;
    const auto id = json.find("id");
    if (id == json.end() || ids_.insert(id->dump()).second) return;
    throw CheckpointError({.code = "TASK_DUPLICATE",
                           .message = fmt::format("\"id\" must be another one for each question, "
                                                  "found {} again",
                                                  printable(id->dump(), 60)),
                           .path = record.where(),
                           .hint = "leave \"id\" out, or number the questions"});
  }

  TaskDefinition& definition_;
  bool known_;
  Questions found_;
  std::set<std::string> ids_;
};

void cut(Questions& questions, int64_t limit) {
  if (limit <= 0) return;
  std::map<std::string, int64_t> kept;
  Questions first;
  for (size_t i = 0; i < questions.documents.size(); ++i) {
    if (++kept[questions.questions[i].part] > limit) continue;
    first.documents.push_back(std::move(questions.documents[i]));
    first.questions.push_back(std::move(questions.questions[i]));
  }
  questions = std::move(first);
}

}  // namespace

bool is_task_file(const std::string& task) {
  return find_task_definition(task) == nullptr &&
         (task.find('/') != std::string::npos || task.find('.') != std::string::npos);
}

void require_task(const std::string& task, const TaskOptions& options) {
  if (!is_task_file(task)) {
    require_split(known_task(task), options.folder);
    return;
  }
  static_cast<void>(InputFile(task));  // it can be read
  const std::string name = without_compression(task);
  const TaskDefinition* known = find_task_definition(stream_name(task));
  if (name.ends_with(".txt") && (known == nullptr || known->split_text == nullptr)) {
    throw UnsupportedError(
        {.code = "TEXT_KIND",
         .message = "a task must be a file of records, .jsonl, .json or .parquet",
         .path = task,
         .hint = "give a text to `text`"});
  }
}

std::vector<std::string> files_of_task(const std::string& task, const TaskOptions& options) {
  if (is_task_file(task)) return {task};
  std::vector<std::string> files;
  if (const TaskDefinition* definition = find_task_definition(task)) {
    for (const std::string_view split : {definition->split, definition->pool}) {
      for (std::string& path : find_split(*definition, options.folder, split)) {
        files.push_back(std::move(path));
      }
    }
  }
  return files;
}

Task open_task(const std::string& name, const TaskOptions& options, const ChatWriter& chat) {
  require_task(name, options);
  const bool is_file = is_task_file(name);
  Task task;
  task.name = is_file ? stream_name(name) : name;
  const TaskDefinition* known = find_task_definition(task.name);
  if (known != nullptr) task.definition = *known;
  task.files = is_file ? std::vector{name} : require_split(*known, options.folder);
  task.path = task.files.front();
  Questions asked = Reader(task.definition, known != nullptr).read(task.files);
  for (const TaskQuestion& question : asked.questions) ++task.n_original[question.part];
  task.n_shot = task.definition.fixed_shots ? task.definition.n_shot
                                            : options.n_shot.value_or(task.definition.n_shot);
  if (task.definition.kind == TaskKind::kRolling) task.n_shot = 0;
  Questions pool;
  if (task.n_shot > 0) {
    const std::vector<std::string> other =
        is_file ? std::vector<std::string>() : find_split(*known, options.folder, known->pool);
    pool = other.empty() || other == task.files
               ? asked
               : Reader(task.definition, known != nullptr).read(other);
    if (other.empty()) task.definition.draws_own_split = true;  // no question shows its own answer
  }
  cut(asked, options.limit);
  task.documents = std::move(asked.documents);
  task.questions = std::move(asked.questions);
  write_requests(task, pool.questions, pool.documents, options, chat);
  return task;
}

}  // namespace regroup

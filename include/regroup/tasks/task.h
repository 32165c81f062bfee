#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "regroup/base/strict_json.h"

namespace regroup {

class TaskRecord;

/// What a model is asked; lm-evaluation-harness's output_type.
enum class TaskKind : uint8_t {
  kMultipleChoice,  ///< the log-likelihood of each choice behind its context
  kLoglikelihood,   ///< of one continuation
  kRolling,         ///< of a whole text
  kGenerate         ///< text, greedily, until it says where it stops
};

/// What an item is worth. The names in results are lm-evaluation-harness's; `acc` means three things there.
enum class Measure : uint8_t {
  kAccuracy,        ///< the likeliest choice is right: acc
  kAccuracyNorm,    ///< the same of log-likelihoods per character of the choice: acc_norm
  kAccuracyBytes,   ///< per byte of it: acc_bytes
  kRightMass,       ///< the share of probability that right choices have: TruthfulQA mc2's acc
  kGreedy,          ///< every token of the continuation is the likeliest: acc of last-word tasks
  kPerplexity,      ///< exp of minus the mean log-likelihood of an item
  kWordPerplexity,  ///< exp of minus the log-likelihood of a word
  kBytePerplexity,
  kBitsPerByte,
  kStrictMatch,    ///< the number behind "####" is the target's: GSM8K's exact_match
  kFlexibleMatch,  ///< the last number is: the same
  kAliasMatch,     ///< a target but for case and punctuation: TriviaQA's exact_match
  kAnswerMatch,    ///< a target but for case, punctuation and articles: exact_match of SQuAD
  kAnswerF1,       ///< of the words of the nearest target
  kRouge1,
  kRouge2,
  kRougeL,
  kBleu  ///< of all answers together, against the first targets
};
std::string_view measure_name(Measure measure);
/// lm-evaluation-harness's name of what is done to an answer before it is measured; "none" for most.
std::string_view measure_filter(Measure measure);
bool higher_is_better(Measure measure);

/// A document of a task as a question.
struct TaskQuestion {
  std::vector<std::string>
      contexts;  ///< what stands before the answer: one, or one for each choice
  std::vector<std::string>
      choices;                ///< with several contexts the one continuation; kRolling: the text
  std::vector<int64_t> gold;  ///< the right choices, or the right context
  std::string description;    ///< stands before the examples
  std::string part;     ///< what it counts for apart, such as MMLU's subject; "" in most tasks
  std::string counted;  ///< kRolling: the text whose words and bytes count
  // kGenerate; choices hold what an example shows.
  std::vector<std::string> targets;
  std::vector<std::string> until;  ///< an answer ends before the first of each
  int64_t max_new_tokens = 256;
};

/// A task of lm-evaluation-harness: one file of definitions/, named in TASKS of CMakeLists.txt.
struct TaskDefinition {
  std::string_view name;
  double version = 1.0;
  TaskKind kind = TaskKind::kMultipleChoice;
  std::span<const Measure> measures;
  std::string_view split = "test";  ///< that is asked
  std::string_view pool = "train";  ///< that examples are drawn from
  bool draws_own_split = false;  ///< one example more is drawn, and the question itself is left out
  bool first_examples = false;   ///< the first ones of the pool, in their order
  int64_t n_shot = 0;
  bool fixed_shots = false;  ///< whatever the user asks for
  TaskQuestion (*question)(const TaskRecord& document) = nullptr;
  /// A document as lm-evaluation-harness keeps it beside the answers; null: as it is in the file.
  Json (*kept)(const Json& document, const TaskQuestion& question) = nullptr;
  /// Documents of a .txt file; null where the task has none.
  std::vector<Json> (*split_text)(const std::string& text) = nullptr;
};

std::span<const TaskDefinition* const> task_definitions();
const TaskDefinition* find_task_definition(std::string_view name);

/// Which tokens stand before a text that is scored whole.
enum class BosMode : uint8_t {
  kHarness,  ///< those of lm-evaluation-harness: what the tokenizer puts there, behind BOS (or EOS)
  kOneBos    ///< one BOS (or EOS)
};

struct TaskOptions {
  std::string folder;             ///< where files of named tasks lie
  int64_t limit = 0;              ///< the first items of each part only; 0: all
  std::optional<int64_t> n_shot;  ///< examples before each question; nothing: the task's own number
  int64_t shot_seed = 1234;       ///< that examples are drawn with
  BosMode bos_mode = BosMode::kHarness;
  int64_t bootstrap_iterations = 100'000;
  bool apply_chat_template = false;  ///< questions are turns of a conversation
  /// Examples are part of the question's turn; else each is a turn of its own.
  bool fewshot_as_singleturn = false;
  double margin =
      0.01;  ///< a model that loses less than this of its baseline's accuracy is not inferior
};

/// A task with its questions.
struct Task {
  TaskDefinition definition;
  std::string name;
  std::string path;                     ///< the file of its questions, of several the first
  std::vector<std::string> files = {};  ///< all of them, in order
  std::vector<Json> documents;          ///< [n], as the file has them
  std::vector<TaskQuestion> questions;  ///< [n]
  int64_t n_shot = 0;
  std::map<std::string, int64_t> n_original;  ///< documents of each part before --limit
  std::map<std::string, std::vector<int64_t>> left_out =
      {};  ///< doc_id of those of each part that are not asked
  /// What is asked of document i: [(context, continuation)], with descriptions, examples and delimiters.
  std::vector<std::vector<std::pair<std::string, std::string>>> requests;
};

/// A part of a prompt, as a conversation has it.
struct ChatTurn {
  std::string role;  ///< "system", "user" or "assistant"
  std::string content;
  std::string behind;  ///< stands behind it where there is no conversation
};
/// Writes a conversation down, up to where the model's answer begins.
using ChatWriter =
    std::function<std::string(const std::vector<ChatTurn>& turns, const std::string& where)>;

/// Whether `task` is a file and not the name of a task.
bool is_task_file(const std::string& task);
/// That a task of this name is known, or is a file that is there, before anything is loaded.
/// @throws ConfigError TASK_UNKNOWN, with the nearest name; TASK_DATA: where its file must lie; UnsupportedError TEXT_KIND
void require_task(const std::string& task, const TaskOptions& options);
/// The files that a task is read from, as far as they are there.
std::vector<std::string> files_of_task(const std::string& task, const TaskOptions& options);
/// Reads the questions of a task by its name, or of a file: the neutral form (docs/tasks.md), or the records of the task's
/// dataset as the datasets package writes them to JSON.
/// @param chat  how the model's conversations are written, where options.apply_chat_template says so
/// @throws as require_task and read_records; CheckpointError TASK_SCHEMA, TASK_DUPLICATE, TASK_SHOTS with file and line
Task open_task(const std::string& name, const TaskOptions& options, const ChatWriter& chat = {});

}  // namespace regroup

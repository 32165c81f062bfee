#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"
#include "regroup/eval/text_eval.h"
#include "regroup/tasks/token_request.h"

namespace regroup {

/// Answers in words, nothing where none is yet.
using WrittenAnswers = std::vector<std::optional<std::string>>;

/// Whether an interrupted evaluation left its state at `path`.
bool holds_eval_state(const std::string& path);

/// The scores of an evaluation so far, in a file, so that the same command goes on where it was stopped.
class EvalState {
 public:
  /// Reads what is there of the same evaluation. Anything else at `path` is left out, with a notice, and
  /// replaced.
  /// @param path  OUT.partial; "": nothing is kept
  /// @param key   everything that decides the numbers
  EvalState(std::string path, const Json& key);

  /// Where text number `text` stands.
  PartialScores find(size_t text) const;
  /// Notes where it stands; writes the file every now and then.
  /// @throws StoppedError  a signal asks for a stop, and the file is written;
  ///         Error with exit 128 + the signal where nothing is kept
  void update(size_t text, const PartialScores& scores);
  /// The scores of a task's requests so far; none where nothing is known.
  /// @param name  which task of which model
  std::vector<RequestScore> find_requests(const std::string& name) const;
  /// Notes them, as update() does.
  /// @param whole  no later call will bring them
  void update_requests(const std::string& name, const std::vector<RequestScore>& scores,
                       bool whole);
  /// The same of the answers in words so far.
  WrittenAnswers find_answers(const std::string& name) const;
  void update_answers(const std::string& name, const WrittenAnswers& answers, bool whole);
  /// Removes the file if it is this state's: the results are written.
  void finish();

 private:
  void read();
  bool is_due() const;
  template <typename Values>
  void keep(std::map<std::string, Values>& all, const std::string& name, const Values& values,
            bool whole);
  void write();

  std::string path_;
  std::string key_;
  bool is_ours_ = false;  ///< the file at path_ was read as this evaluation's, or written
  std::vector<PartialScores> texts_;
  std::map<std::string, std::vector<RequestScore>> requests_;
  std::map<std::string, WrittenAnswers> answers_;
  std::chrono::steady_clock::time_point written_ = std::chrono::steady_clock::now();
};

}  // namespace regroup

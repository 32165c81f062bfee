#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "c10d_transport.h"
#include "regroup/model/processes.h"

namespace regroup {

/// Processes that have met. What becomes of a process is known by the words that it leaves at the meeting place:
/// "here/R" when it comes, "left/R" when it goes, "alive/R" when it misses another one.
class ProcessGroup final : public Processes {
 public:
  /// @throws ConfigError PROCESSES_MEETING naming who has not come
  ProcessGroup(const Launch& launch, std::chrono::seconds timeout);
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;
  ~ProcessGroup() override;

  int rank() const override { return launch_.rank; }
  int size() const override { return launch_.size; }
  void all_reduce(const at::Tensor& values) override;
  void reduce_scatter(const at::Tensor& share, const at::Tensor& whole) override;
  void all_gather(const at::Tensor& whole, const at::Tensor& share) override;
  void broadcast(const at::Tensor& values, int root) override;
  void barrier() override;
  void first_does(const std::function<void()>& work) override { first_works(work, false); }
  void first_prepares(const std::function<void()>& work) override { first_works(work, true); }
  void leave(const Error& why) override;
  int sharing_processors() const override { return sharing_; }
  int on_this_machine() const override { return here_; }

 private:
  template <typename Call>
  void together(const Call& call);
  void first_works(const std::function<void()>& work, bool stoppable);
  /// Of the others, until `key` is there.
  void wait_for_first(const std::string& key, bool stoppable);
  /// Hears of a signal to one of the others, which has gone for it.
  void take_over_signal() const;
  void meet();
  void introduce(const std::string& where);
  void wait_for_words();
  void count_sharing();
  void go(const std::string& word);
  [[noreturn]] void find_lost(const std::string& reason);
  /// Ends this process as `rank` ended, where that one has left a reason.
  void follow(int rank);
  std::optional<std::string> word(const char* kind, int rank) const;
  std::string name_of(int rank) const;
  bool is_dead(int rank) const;

  Launch launch_;
  std::chrono::seconds timeout_;
  std::unique_ptr<MeetingPlace> place_;
  std::unique_ptr<Transport> transport_;
  struct Member {
    int pid = 0;
    std::string pids;  // the namespace of it
    std::string host;
    std::string processors;
  };
  std::vector<std::optional<Member>> members_;  // by rank
  std::set<int> lost_;
  int sharing_ = 1;
  int here_ = 1;
  int64_t works_ = 0;  // of the first process alone, so far
  int64_t beats_ = 0;  // of the first process at such work
  bool gone_ = false;
};

}  // namespace regroup

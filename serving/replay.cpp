#include "regroup/serving/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <queue>
#include <vector>

#include "cache_ledger.h"
#include "prefix_cache.h"
#include "regroup/base/error.h"
#include "regroup/base/human_number.h"
#include "regroup/base/stop_signal.h"
#include "replay_record.h"
#include "sequence.h"
#include "start_order.h"
#include "step_time.h"

namespace regroup {
namespace {

// A hundredth of the budget stays free when a sequence joins others, as in vLLM, so that their growth does not end it at once.
constexpr int64_t kWatermark = 100;
constexpr int64_t kRoundsToLook = 4096;  // after so many a signal is looked for

class Simulation {
 public:
  Simulation(const Trace& trace, const ServedModel& model, const ReplaySettings& settings)
      : trace_(trace),
        settings_(settings),
        ledger_(model.layout, settings.kv_bits, settings.block_tokens),
        weight_bytes_(model.device_weight_bytes),
        use_(expert_use(model.layout)),
        flops_per_token_(model.flops_per_token / static_cast<double>(settings.devices)),
        budget_(settings.memory_bytes - settings.reserve_bytes - weight_bytes_),
        shared_bytes_(ledger_.block_bytes() * (kTraceBlockTokens / settings.block_tokens)),
        record_(settings, weight_bytes_, budget_, static_cast<int64_t>(trace.requests.size())) {}

  ReplayResult run(const std::function<void(double)>& progress) {
    require_budget();
    int64_t told = 0;
    int64_t rounds = 0;
    const auto n = static_cast<int64_t>(trace_.requests.size());
    while (record_.done() < n) {
      take_arrivals();
      admit();
      if (!prompts_.empty()) {
        mixed_step();
      } else if (growing_ > 0) {
        grow();
      } else if (next_ < trace_.requests.size()) {
        idle();
      }
      if (++rounds % kRoundsToLook == 0) throw_if_stopped(/*resumable=*/false);
      if (progress && record_.done() >= told) {
        progress(static_cast<double>(record_.done()) / static_cast<double>(n));
        told = record_.done() + std::max<int64_t>(1, n / 100);
      }
    }
    return record_.result();
  }

 private:
  size_t running() const { return static_cast<size_t>(growing_) + prompts_.size(); }
  const TraceRequest& request_of(const Waiting& waiting) const {
    return trace_.requests[waiting.request];
  }

  void require_budget() const {
    if (budget_ >= ledger_.bytes_of(1)) return;
    throw ConfigError(
        {.code = "REPLAY_MEMORY",
         .message = fmt::format("the memory of a device must hold the weights and some cache, "
                                "found {} of which weights take {} and the reserve {}",
                                human_bytes(settings_.memory_bytes), human_bytes(weight_bytes_),
                                human_bytes(settings_.reserve_bytes)),
         .hint = "give more memory or more devices, or weights of fewer bits"});
  }

  /// What the cache may still take, blocks of prompts that nobody uses included.
  int64_t free_bytes(int64_t steps = 0) const {
    return budget_ - prefixes_.used() * shared_bytes_ - ledger_.bytes_after(steps);
  }
  double allocated() const {
    return static_cast<double>(ledger_.bytes() +
                               (prefixes_.used() + prefixes_.unused()) * shared_bytes_);
  }

  /// Requests that can never run are not queued: engines refuse them as well.
  bool can_ever_run(const TraceRequest& request) const {
    const int64_t tokens = int64_t{request.prompt_tokens} + request.output_tokens;
    if (settings_.max_context > 0 && tokens > settings_.max_context) return false;
    // The last token is given out and not kept.
    return ledger_.bytes_of(std::max<int64_t>(request.prompt_tokens, tokens - 1)) <= budget_;
  }

  void take_arrivals() {
    for (; next_ < trace_.requests.size(); ++next_) {
      const TraceRequest& request = trace_.requests[next_];
      if (!can_ever_run(request)) {
        record_.rejected();
        continue;
      }
      if (request.arrival_s > now_) break;
      waiting_.push_back({.request = next_});
    }
  }

  /// Starts requests in their order while their blocks are free and a step has room for their tokens.
  void admit() {
    int64_t unread = 0;
    for (const size_t slot : prompts_) unread += slots_[slot].unread;
    while (!waiting_.empty() && running() < static_cast<size_t>(settings_.max_sequences) &&
           unread + growing_ < settings_.max_step_tokens) {
      const Waiting& first = waiting_.front();
      const TraceRequest& request = request_of(first);
      const int64_t context = request.prompt_tokens + first.generated;
      const auto blocks = shareable(request);
      const auto found = blocks.first(static_cast<size_t>(prefixes_.find(blocks)));
      // Blocks that nobody used count as free until now.
      const auto taken = static_cast<int64_t>(found.size()) - prefixes_.used_among(found);
      const int64_t needed =
          ledger_.bytes_of(context, blocks_of(found.size())) + taken * shared_bytes_;
      const int64_t watermark = running() > 0 ? budget_ / kWatermark : 0;
      if (needed + watermark > free_bytes()) break;
      start(found, context);
      unread += slots_[prompts_.back()].unread;
    }
  }

  /// Blocks of a prompt that others may share: whole ones.
  std::span<const uint64_t> shareable(const TraceRequest& request) const {
    if (!settings_.prefix_caching) return {};
    const auto blocks = trace_.blocks_of(request);
    const auto whole = static_cast<size_t>(request.prompt_tokens / kTraceBlockTokens);
    return blocks.first(std::min(blocks.size(), whole));
  }

  /// Blocks of the cache that hold so many of a trace's blocks.
  int64_t blocks_of(size_t trace_blocks) const {
    return static_cast<int64_t>(trace_blocks) * (kTraceBlockTokens / settings_.block_tokens);
  }

  void start(std::span<const uint64_t> found, int64_t context) {
    Waiting waiting = waiting_.front();
    waiting_.pop_front();
    const auto cached = static_cast<int64_t>(found.size());
    const int64_t hit = std::min(cached * kTraceBlockTokens, context - 1);
    if (waiting.started) {
      record_.recomputes(std::min(waiting.computed, context - hit));
    } else {
      record_.started(now_ - request_of(waiting).arrival_s, hit);
    }
    waiting.started = true;
    const size_t slot = take_slot();
    slots_[slot] = {.from = waiting,
                    .context = context,
                    .unread = context - hit,
                    .cached = cached,
                    .shared = blocks_of(found.size()),
                    .generation = slots_[slot].generation + 1};
    prefixes_.use(found);
    ledger_.hold(context, slots_[slot].shared);
    prompts_.push_back(slot);
    started_.add({slot, slots_[slot].generation});
    make_room(0);
  }

  /// A prompt that is read: later ones may begin with its blocks.
  void share_prompt(Running& running) {
    const auto blocks = shareable(request_of(running.from));
    const auto fresh = blocks.subspan(static_cast<size_t>(running.cached));
    if (fresh.empty()) return;
    ledger_.release(running.context, running.shared);
    prefixes_.use(fresh);
    running.cached = static_cast<int64_t>(blocks.size());
    running.shared = blocks_of(blocks.size());
    ledger_.hold(running.context, running.shared);
  }

  size_t take_slot() {
    if (free_slots_.empty()) {
      slots_.emplace_back();
      return slots_.size() - 1;
    }
    const size_t slot = free_slots_.back();
    free_slots_.pop_back();
    return slot;
  }

  /// Blocks of prompts that nobody uses give way to those of `steps` steps.
  void make_room(int64_t steps) {
    if (prefixes_.unused() == 0) return;
    const int64_t lacking = prefixes_.unused() * shared_bytes_ - free_bytes(steps);
    if (lacking > 0) prefixes_.drop((lacking + shared_bytes_ - 1) / shared_bytes_);
  }

  /// Sequences give up their cache, the youngest first, until the others can take a step.
  void preempt_for_step() {
    while (free_bytes(1) < 0 && growing_ > 0) {
      const Place place = started_.take_youngest();
      Running& running = slots_[place.slot];
      const bool reading = running.joined < 0;
      const int64_t generated = reading ? running.from.generated : generated_by(running);
      record_.preempted();
      Waiting waiting = running.from;
      waiting.computed = reading ? running.context - running.unread : length(running);
      waiting.generated = generated;
      if (reading) std::erase(prompts_, place.slot);
      leave(place.slot);
      waiting_.push_front(waiting);
    }
  }

  int64_t length(const Running& running) const {
    return running.context + (running.joined < 0 ? 0 : step_ - running.joined);
  }
  int64_t generated_by(const Running& running) const {
    return running.from.generated + 1 + (step_ - running.joined);
  }

  void leave(size_t slot) {
    Running& running = slots_[slot];
    if (running.joined < 0) {
      ledger_.release(running.context, running.shared);
    } else {
      ledger_.leave(length(running), running.shared);
      --growing_;
    }
    const auto cached = static_cast<size_t>(running.cached);
    prefixes_.release(shareable(request_of(running.from)).first(cached));
    ++running.generation;
    free_slots_.push_back(slot);
  }

  StepTime step_time(const CacheWork& work, double tokens, double flops, double bytes) const {
    const double bandwidth = settings_.bandwidth_bytes_per_s;
    const double weights = use_.read(tokens) * static_cast<double>(weight_bytes_);
    return {.read = (weights + work.bytes + bytes) / bandwidth,
            .read_growth = work.bytes_growth / bandwidth,
            .compute = (tokens * flops_per_token_ + work.flops + flops) / settings_.flops_per_s,
            .compute_growth = work.flops_growth / settings_.flops_per_s,
            .overhead = settings_.step_overhead_s};
  }

  /// One step of which part goes to prompts.
  void mixed_step() {
    preempt_for_step();
    int64_t room = std::max<int64_t>(1, settings_.max_step_tokens - growing_);
    double flops = 0;
    double bytes = 0;
    int64_t tokens = growing_;
    std::vector<size_t> complete;
    for (const size_t slot : prompts_) {
      Running& running = slots_[slot];
      const int64_t part = std::min(room, running.unread);
      const int64_t before = running.context - running.unread;
      flops += ledger_.prefill_flops(before, part);
      bytes += ledger_.read_bytes(before + part);
      running.unread -= part;
      room -= part;
      tokens += part;
      if (running.unread == 0) complete.push_back(slot);
      if (room == 0) break;
    }
    pass(1, step_time(ledger_.work(), static_cast<double>(tokens), flops, bytes).of(1));
    for (const size_t slot : complete) first_token(slot);
  }

  /// A sequence whose context is read has its next token and grows from now on.
  void first_token(size_t slot) {
    Running& running = slots_[slot];
    std::erase(prompts_, slot);
    share_prompt(running);
    if (running.from.generated == 0) running.from.first_token_s = now_ - arrival(running);
    const int64_t left = request_of(running.from).output_tokens - running.from.generated - 1;
    if (left <= 0) {
      complete(slot);
      return;
    }
    ledger_.release(running.context, running.shared);
    ledger_.join(running.context, running.shared);
    ++growing_;
    running.joined = step_;
    endings_.push({step_ + left, {slot, running.generation}});
  }

  double arrival(const Running& running) const { return request_of(running.from).arrival_s; }

  /// As many steps as pass before anything else happens.
  void grow() {
    preempt_for_step();
    if (growing_ == 0) return;
    drop_old_endings();
    int64_t steps = std::min(endings_.top().step - step_, ledger_.steps_to_full_window());
    steps = steps_within_budget(steps);
    const StepTime time = step_time(ledger_.work(), static_cast<double>(growing_), 0, 0);
    if (waiting_.empty() && next_ < trace_.requests.size()) {
      steps = time.steps_to(trace_.requests[next_].arrival_s - now_, steps);
    }
    pass(steps, time.of(steps));
  }

  int64_t steps_within_budget(int64_t steps) const {
    if (free_bytes(steps) >= 0) return steps;
    int64_t low = 1;  // preempt_for_step() has seen to that
    int64_t high = steps;
    while (high - low > 1) {
      const int64_t middle = low + (high - low) / 2;
      (free_bytes(middle) >= 0 ? low : high) = middle;
    }
    return low;
  }

  void drop_old_endings() {
    const auto old = [this] {
      const Place& place = endings_.top().place;
      return slots_[place.slot].generation != place.generation;
    };
    while (!endings_.empty() && old()) endings_.pop();
  }

  /// Time passes while `steps` steps run.
  void pass(int64_t steps, double seconds) {
    make_room(steps);
    const auto shared =
        static_cast<double>((prefixes_.used() + prefixes_.unused()) * shared_bytes_);
    const ReplayRecord::Cache cache{
        .mean_bytes = ledger_.mean_bytes(steps) + shared,
        .mean_used = ledger_.mean_used_bytes(steps) + shared,
        .from_bytes = allocated(),
        .to_bytes = static_cast<double>(ledger_.bytes_after(steps)) + shared};
    const auto sequences = static_cast<double>(running());
    ledger_.advance(steps);
    step_ += steps;
    now_ += seconds;
    record_.ran(seconds, sequences, cache);
    end_sequences();
  }

  void end_sequences() {
    for (drop_old_endings(); !endings_.empty() && endings_.top().step <= step_;
         drop_old_endings()) {
      const size_t slot = endings_.top().place.slot;
      endings_.pop();
      complete(slot);
    }
  }

  void complete(size_t slot) {
    const Running& running = slots_[slot];
    const TraceRequest& request = request_of(running.from);
    const int64_t tokens =
        request.prompt_tokens + std::max<int64_t>(0, int64_t{request.output_tokens} - 1);
    record_.completed(request, now_, running.from.first_token_s, ledger_.bytes_of(tokens));
    leave(slot);
  }

  void idle() {
    const double until = trace_.requests[next_].arrival_s;
    record_.was_idle(until - now_, allocated());
    now_ = until;
  }

  const Trace& trace_;
  const ReplaySettings& settings_;
  CacheLedger ledger_;
  PrefixCache prefixes_;
  int64_t weight_bytes_;
  ExpertUse use_;
  double flops_per_token_;
  int64_t budget_;
  int64_t shared_bytes_;  ///< of a block of the prefix cache
  double now_ = 0;
  int64_t step_ = 0;
  size_t next_ = 0;      ///< request that arrives next
  int64_t growing_ = 0;  ///< sequences whose context is read
  std::deque<Waiting> waiting_;
  std::vector<Running> slots_;
  std::vector<size_t> free_slots_;
  std::vector<size_t> prompts_;  ///< slots whose context is being read, in their order
  StartOrder started_{slots_};
  std::priority_queue<Ending, std::vector<Ending>, std::greater<>> endings_;
  ReplayRecord record_;
};

}  // namespace

ReplayResult replay(const Trace& trace, const ServedModel& model, const ReplaySettings& settings,
                    const std::function<void(double)>& progress) {
  ServedModel share = model;
  share.layout = on_device(model.layout, settings.devices);
  ReplayResult result = Simulation(trace, share, settings).run(progress);
  result.n_kv_heads = model.layout.n_kv_heads;
  return result;
}

}  // namespace regroup

#include "regroup/text/encoded_documents.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "regroup/base/stop_signal.h"

namespace regroup {
namespace {

constexpr size_t kBatchBytes = size_t{256} << 10;  // a hundredth of a second, or more
constexpr size_t kMaxBytesInFlight = size_t{64} << 20;

/// Documents that one thread encodes, with the text that they point into.
struct Batch {
  struct Copy {
    std::string text;
    bool is_chat;
    std::string where;
    double read;
  };
  std::vector<Copy> documents;
  size_t bytes = 0;
  std::vector<EncodedDocument> encoded;  ///< up to the one with the error
  std::exception_ptr error;
  bool done = false;
};

class DocumentEncoder {
 public:
  DocumentEncoder(const Tokenizer& tokenizer, const DocumentEnds& ends)
      : tokenizer_(tokenizer), ends_(ends) {}

  EncodedDocument encode(const Document& document) const {
    std::string written;
    const std::string_view text = tokenizer_.text_of(document, written);
    const bool chat = document.is_chat;
    return {.ids = tokenizer_.encode(document, text, chat ? ends_.chat_bos : ends_.bos,
                                     chat ? ends_.chat_eos : ends_.eos),
            .bytes = static_cast<int64_t>(text.size()),
            .is_chat = chat,
            .read = document.read};
  }

  void encode(Batch& batch) const {
    try {
      for (const Batch::Copy& copy : batch.documents) {
        batch.encoded.push_back(encode({copy.text, copy.is_chat, copy.where, copy.read}));
      }
    } catch (...) {
      batch.error = std::current_exception();
    }
    batch.documents = {};
  }

 private:
  const Tokenizer& tokenizer_;
  const DocumentEnds& ends_;
};

/// Batches on their way through the threads, in the order of the file.
class EncodingThreads {
 public:
  using Visit = std::function<void(const EncodedDocument&)>;

  EncodingThreads(const DocumentEncoder& encoder, int threads, const Visit& visit)
      : encoder_(encoder), visit_(visit) {
    try {
      for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
    } catch (...) {
      end();  // those that were started would be waited for
      throw;
    }
  }
  ~EncodingThreads() { end(); }

  void add(const Document& document) {
    if (!open_) open_ = std::make_unique<Batch>();
    open_->documents.push_back(
        {std::string(document.text), document.is_chat, document.where, document.read});
    open_->bytes += document.text.size();
    if (open_->bytes >= kBatchBytes) send();
  }

  /// Hands on all that was added, unless an error has come from there.
  void finish() {
    if (abandoned_) return;
    if (open_) send();
    while (!in_flight_.empty()) hand_on_oldest();
  }

 private:
  void end() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
    }
    work_comes_.notify_all();
  }

  void send() {
    const size_t max_batches = 2 * threads_.size();
    while (in_flight_.size() >= max_batches ||
           (!in_flight_.empty() && bytes_ + open_->bytes > kMaxBytesInFlight)) {
      hand_on_oldest();
    }
    bytes_ += open_->bytes;
    in_flight_.push_back(std::move(open_));
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(in_flight_.back().get());
    }
    work_comes_.notify_one();
  }

  void hand_on_oldest() {
    abandoned_ = true;  // unless all goes well
    throw_if_stopped(/*resumable=*/false);
    const std::unique_ptr<Batch> batch = std::move(in_flight_.front());
    {
      std::unique_lock lock(mutex_);
      batch_done_.wait(lock, [&] { return batch->done; });
    }
    in_flight_.pop_front();
    bytes_ -= batch->bytes;
    for (const EncodedDocument& document : batch->encoded) visit_(document);
    if (batch->error) std::rethrow_exception(batch->error);
    abandoned_ = false;
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      work_comes_.wait(lock, [this] { return ends_ || !waiting_.empty(); });
      if (ends_) return;
      Batch* batch = waiting_.front();
      waiting_.pop_front();
      lock.unlock();
      encoder_.encode(*batch);
      lock.lock();
      batch->done = true;
      batch_done_.notify_one();
    }
  }

  const DocumentEncoder& encoder_;
  const Visit& visit_;
  std::unique_ptr<Batch> open_;
  std::deque<std::unique_ptr<Batch>> in_flight_;
  size_t bytes_ = 0;  // in flight
  bool abandoned_ = false;
  std::mutex mutex_;  // of what follows, and of `done`
  std::deque<Batch*> waiting_;
  bool ends_ = false;
  std::condition_variable work_comes_;
  std::condition_variable batch_done_;
  std::vector<std::jthread> threads_;  // last: they end before what they use
};

}  // namespace

int64_t encode_documents(const std::string& path, const Tokenizer& tokenizer,
                         const DocumentOptions& options, const DocumentEnds& ends, int threads,
                         const std::function<void(const EncodedDocument&)>& visit) {
  const DocumentEncoder encoder(tokenizer, ends);
  if (threads <= 1) {
    return read_documents(path, options, [&](const Document& document) {
      throw_if_stopped(/*resumable=*/false);
      visit(encoder.encode(document));
    });
  }
  EncodingThreads work(encoder, threads, visit);
  int64_t count = 0;
  try {
    count = read_documents(path, options, [&](const Document& document) { work.add(document); });
  } catch (...) {
    work.finish();  // an error in an earlier document comes first
    throw;
  }
  work.finish();
  return count;
}

}  // namespace regroup

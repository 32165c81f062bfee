#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "regroup/base/digest.h"
#include "regroup/base/output_file.h"
#include "regroup/checkpoint/model_folder.h"

namespace regroup {

inline constexpr int64_t kChunkBytes = 1 << 20;
inline constexpr int64_t kQueuedChunks = 12;
/// What the chunks of the three threads beside the moving one may hold at once, and the block of a
/// file on its way to the disk.
inline constexpr int64_t kPipelineBytes = 3 * (kQueuedChunks + 2) * kChunkBytes + (4 << 20);
inline constexpr int64_t kRowBlockBytes = 4 << 20;

/// A piece of a file on its way; shared by the thread that writes it and those that hash it.
using Chunk = std::shared_ptr<std::vector<std::byte>>;

/// Hands out buffers and takes them back, so that memory is touched once and not page-faulted anew.
class ChunkPool {
 public:
  Chunk get(int64_t bytes);

 private:
  struct Shelf {
    std::mutex mutex;
    std::vector<std::vector<std::byte>> free;
  };
  std::shared_ptr<Shelf> shelf_ = std::make_shared<Shelf>();
};

/// Does pieces of work (a chunk hashed, a chunk written) in the order they are pushed, beside the
/// thread that moves the bytes. After one that throws, the rest is skipped.
class WorkThread {
 public:
  WorkThread();
  ~WorkThread();
  /// Waits when the queue is full. @throws what earlier work threw
  void push(std::function<void()> work);
  void drain();  ///< until everything pushed is done or skipped. @throws what the work threw
  void cancel() noexcept;  ///< forgets what has not begun, and what was thrown

 private:
  void run();
  void rethrow();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  std::exception_ptr error_;
  bool busy_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

/// Reads tensors and takes the SHA-256 of every source file on the way. Bytes read from front to back
/// are hashed as they pass; what is skipped or read out of order is read again.
class SourceReader {
 public:
  SourceReader(const ModelFolder& model, ChunkPool& pool);
  /// Reads [offset, offset + bytes) of a tensor.
  Chunk read(const std::string& tensor, int64_t offset, int64_t bytes);
  /// Bytes of the tensor as the source stores it.
  int64_t tensor_bytes(const std::string& tensor) const;
  Dtype dtype(const std::string& tensor) const;
  /// Hashes whatever no tensor asked for. @return SHA-256 by shard
  std::vector<std::string> finish();

 private:
  void feed(size_t shard, int64_t offset, const Chunk& chunk);
  void catch_up(size_t shard, int64_t offset);

  const ModelFolder& model_;
  ChunkPool& pool_;
  std::vector<Sha256> digests_;
  std::vector<int64_t> positions_;  // by shard: every byte before it has been hashed
  WorkThread hashing_;              // last: stops before what it works on goes
};

/// Writes one output shard and takes its SHA-256 and each tensor's XXH3-128 on the way.
class ShardWriter {
 public:
  ShardWriter(const std::string& path, const std::string& prefix, int64_t bytes, ChunkPool& pool,
              WorkThread& hashing, WorkThread& writing);
  ~ShardWriter();
  void write(const Chunk& chunk);
  std::string end_tensor();  ///< the XXH3-128 of the chunks since the last call
  std::string finish();      ///< syncs and closes; the SHA-256 of the file

 private:
  void pass_on(const Chunk& chunk);

  OutputFile file_;
  Sha256 sha_;
  Xxh3 tensor_hash_;
  WorkThread& hashing_;
  WorkThread& writing_;
};

}  // namespace regroup

#include "stream.h"

#include <algorithm>
#include <utility>

namespace regroup {

Chunk ChunkPool::get(int64_t bytes) {
  std::vector<std::byte> buffer;
  {
    const std::lock_guard lock(shelf_->mutex);
    if (!shelf_->free.empty()) {
      buffer = std::move(shelf_->free.back());
      shelf_->free.pop_back();
    }
  }
  buffer.resize(static_cast<size_t>(bytes));
  auto* owned = new std::vector<std::byte>(std::move(buffer));
  return Chunk(owned, [shelf = shelf_](std::vector<std::byte>* chunk) {
    if (static_cast<int64_t>(chunk->capacity()) <= 2 * kChunkBytes) {
      const std::lock_guard lock(shelf->mutex);
      shelf->free.push_back(std::move(*chunk));
    }
    delete chunk;
  });
}

WorkThread::WorkThread() : thread_([this] { run(); }) {}

WorkThread::~WorkThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    queue_.clear();
  }
  changed_.notify_all();
  thread_.join();
}

void WorkThread::push(std::function<void()> work) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return static_cast<int64_t>(queue_.size()) < kQueuedChunks; });
  rethrow();
  queue_.push_back(std::move(work));
  lock.unlock();
  changed_.notify_all();
}

void WorkThread::drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return queue_.empty() && !busy_; });
  rethrow();
}

void WorkThread::cancel() noexcept {
  std::unique_lock lock(mutex_);
  queue_.clear();
  changed_.wait(lock, [&] { return !busy_; });
  error_ = nullptr;
}

void WorkThread::rethrow() {
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void WorkThread::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    busy_ = true;
    lock.unlock();
    std::exception_ptr error;
    try {
      work();
    } catch (...) {
      error = std::current_exception();
    }
    work = nullptr;  // gives its chunk back
    lock.lock();
    if (error) {
      error_ = error;
      queue_.clear();
    }
    busy_ = false;
    changed_.notify_all();
  }
}

SourceReader::SourceReader(const ModelFolder& model, ChunkPool& pool)
    : model_(model),
      pool_(pool),
      digests_(model.shards().size()),
      positions_(model.shards().size(), 0) {}

Chunk SourceReader::read(const std::string& tensor, int64_t offset, int64_t bytes) {
  const TensorLocation location = model_.locate(tensor);
  Chunk chunk = pool_.get(bytes);
  model_.read(tensor, offset, *chunk);
  if (!model_.is_stored(tensor)) return chunk;  // finish() hashes what it was made of
  const TensorFile& shard = *model_.shards()[location.shard];
  feed(location.shard, shard.table().data_begin + location.info->begin + offset, chunk);
  return chunk;
}

int64_t SourceReader::tensor_bytes(const std::string& tensor) const {
  return model_.locate(tensor).info->bytes();
}

Dtype SourceReader::dtype(const std::string& tensor) const {
  return model_.locate(tensor).info->dtype;
}

void SourceReader::feed(size_t shard, int64_t offset, const Chunk& chunk) {
  const auto bytes = static_cast<int64_t>(chunk->size());
  if (offset > positions_[shard]) catch_up(shard, offset);
  if (offset != positions_[shard])
    return;  // hashed before, or overlapping: catch_up() will come by
  hashing_.push([digest = &digests_[shard], chunk] { digest->update(*chunk); });
  positions_[shard] += bytes;
}

void SourceReader::catch_up(size_t shard, int64_t offset) {
  const InputFile& file = model_.shards()[shard]->file();
  while (positions_[shard] < offset) {
    const int64_t bytes = std::min(offset - positions_[shard], kChunkBytes);
    Chunk chunk = pool_.get(bytes);
    file.read(positions_[shard], *chunk);
    hashing_.push(
        [digest = &digests_[shard], chunk = std::move(chunk)] { digest->update(*chunk); });
    positions_[shard] += bytes;
  }
}

std::vector<std::string> SourceReader::finish() {
  for (size_t shard = 0; shard < digests_.size(); ++shard) {
    catch_up(shard, model_.shards()[shard]->file().size());
  }
  hashing_.drain();
  std::vector<std::string> hex;
  for (Sha256& digest : digests_) hex.push_back(digest.hex());
  return hex;
}

ShardWriter::ShardWriter(const std::string& path, const std::string& prefix, int64_t bytes,
                         ChunkPool& pool, WorkThread& hashing, WorkThread& writing)
    : file_(path, bytes), hashing_(hashing), writing_(writing) {
  Chunk chunk = pool.get(static_cast<int64_t>(prefix.size()));
  std::copy_n(reinterpret_cast<const std::byte*>(prefix.data()), prefix.size(), chunk->begin());
  pass_on(chunk);
}

// After a failure chunks are left behind that still point at this object.
ShardWriter::~ShardWriter() {
  hashing_.cancel();
  writing_.cancel();
}

void ShardWriter::pass_on(const Chunk& chunk) {
  writing_.push([this, chunk] { file_.write(*chunk); });
  hashing_.push([this, chunk] { sha_.update(*chunk); });
}

void ShardWriter::write(const Chunk& chunk) {
  pass_on(chunk);
  tensor_hash_.update(*chunk);
}

std::string ShardWriter::end_tensor() {
  const std::string hex = tensor_hash_.hex();
  tensor_hash_ = Xxh3();
  return hex;
}

std::string ShardWriter::finish() {
  writing_.drain();
  file_.sync_and_close();
  hashing_.drain();
  return sha_.hex();
}

}  // namespace regroup

#include "stream.h"

#include <algorithm>

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

HashThread::HashThread() : thread_([this] { work(); }) {}

HashThread::~HashThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    queue_.clear();
  }
  changed_.notify_all();
  thread_.join();
}

void HashThread::push(Sha256* sha, Chunk chunk) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return static_cast<int64_t>(queue_.size()) < kQueuedChunks; });
  queue_.push_back({sha, std::move(chunk)});
  lock.unlock();
  changed_.notify_all();
}

void HashThread::drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return queue_.empty() && !busy_; });
}

void HashThread::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const Item item = std::move(queue_.front());
    queue_.pop_front();
    busy_ = true;
    lock.unlock();
    item.sha->update(*item.chunk);
    lock.lock();
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
  const SafetensorsFile& shard = *model_.shards()[location.shard];
  Chunk chunk = pool_.get(bytes);
  shard.read(*location.info, offset, *chunk);
  feed(location.shard, shard.header().data_begin + location.info->begin + offset, chunk);
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
  thread_.push(&digests_[shard], chunk);
  positions_[shard] += bytes;
}

void SourceReader::catch_up(size_t shard, int64_t offset) {
  const InputFile& file = model_.shards()[shard]->file();
  while (positions_[shard] < offset) {
    const int64_t bytes = std::min(offset - positions_[shard], kChunkBytes);
    Chunk chunk = pool_.get(bytes);
    file.read(positions_[shard], *chunk);
    thread_.push(&digests_[shard], std::move(chunk));
    positions_[shard] += bytes;
  }
}

std::vector<std::string> SourceReader::finish() {
  for (size_t shard = 0; shard < digests_.size(); ++shard) {
    catch_up(shard, model_.shards()[shard]->file().size());
  }
  thread_.drain();
  std::vector<std::string> hex;
  for (Sha256& digest : digests_) hex.push_back(digest.hex());
  return hex;
}

ShardWriter::ShardWriter(const std::string& path, const std::string& prefix, int64_t bytes,
                         ChunkPool& pool, HashThread& thread)
    : file_(path, bytes), thread_(thread) {
  Chunk chunk = pool.get(static_cast<int64_t>(prefix.size()));
  std::copy_n(reinterpret_cast<const std::byte*>(prefix.data()), prefix.size(), chunk->begin());
  file_.write(*chunk);
  thread_.push(&sha_, std::move(chunk));
}

// A write that fails leaves chunks behind that still point at sha_.
ShardWriter::~ShardWriter() { thread_.drain(); }

void ShardWriter::write(const Chunk& chunk) {
  thread_.push(&sha_, chunk);
  tensor_hash_.update(*chunk);
  file_.write(*chunk);
}

std::string ShardWriter::end_tensor() {
  const std::string hex = tensor_hash_.hex();
  tensor_hash_ = Xxh3();
  return hex;
}

std::string ShardWriter::finish() {
  file_.sync_and_close();
  thread_.drain();
  return sha_.hex();
}

}  // namespace regroup

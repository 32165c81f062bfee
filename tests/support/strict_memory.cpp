#include "support/strict_memory.h"

#include <c10/util/Exception.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <mutex>

namespace regroup::testing {
namespace {

struct Block {
  size_t bytes;  // whole pages
  int holders = 0;
};

/// Every block of one kind by its address. Leaked: tensors may outlive every static object.
struct Blocks {
  std::mutex mutex;
  std::map<const void*, Block> by_address;
};
Blocks& strict_blocks() {
  static auto* blocks = new Blocks;
  return *blocks;
}
Blocks& pinned_blocks() {
  static auto* blocks = new Blocks;
  return *blocks;
}

void protect(void* data, size_t bytes, int how) {
  TORCH_CHECK(::mprotect(data, bytes, how) == 0, "strict device: mprotect: ", std::strerror(errno));
}

void* map_pages(Blocks& blocks, size_t wanted) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t bytes = (wanted + page - 1) / page * page;
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  TORCH_CHECK(data != MAP_FAILED, "strict device: mmap: ", std::strerror(errno));
  const std::lock_guard lock(blocks.mutex);
  blocks.by_address[data] = {bytes};
  return data;
}

void unmap_pages(Blocks& blocks, void* data) {
  const std::lock_guard lock(blocks.mutex);
  const auto found = blocks.by_address.find(data);
  ::munmap(data, found->second.bytes);
  blocks.by_address.erase(found);
}

struct StrictAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device device(c10::DeviceType::PrivateUse1, 0);
    if (bytes == 0) return {nullptr, nullptr, &release, device};
    void* data = map_pages(strict_blocks(), bytes);
    std::memset(data, 0xFF, bytes);
    protect(data, bytes, PROT_NONE);
    return {data, data, &release, device};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    const OpenBlocks open({to, const_cast<void*>(from)});
    std::memcpy(to, from, bytes);
  }
  static void release(void* data) {
    if (data != nullptr) unmap_pages(strict_blocks(), data);
  }
};

struct PinnedAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* data = map_pages(pinned_blocks(), std::max<size_t>(1, bytes));
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }
  static void release(void* data) { unmap_pages(pinned_blocks(), data); }
};

}  // namespace

c10::Allocator* strict_allocator() {
  static auto* allocator = new StrictAllocator;
  return allocator;
}

c10::Allocator* pinned_allocator() {
  static auto* allocator = new PinnedAllocator;
  return allocator;
}

bool is_pinned(const void* data) {
  Blocks& blocks = pinned_blocks();
  const std::lock_guard lock(blocks.mutex);
  auto after = blocks.by_address.upper_bound(data);
  if (after == blocks.by_address.begin()) return false;
  const auto& [address, block] = *--after;
  return data < static_cast<const char*>(address) + block.bytes;
}

OpenBlocks::OpenBlocks(std::vector<void*> blocks) : blocks_(std::move(blocks)) {
  std::erase(blocks_, nullptr);
  Blocks& all = strict_blocks();
  const std::lock_guard lock(all.mutex);
  for (void* data : blocks_) {
    Block& block = all.by_address.at(data);
    if (block.holders++ == 0) protect(data, block.bytes, PROT_READ | PROT_WRITE);
  }
}

OpenBlocks::~OpenBlocks() {
  Blocks& all = strict_blocks();
  const std::lock_guard lock(all.mutex);
  for (void* data : blocks_) {
    Block& block = all.by_address.at(data);
    if (--block.holders == 0) protect(data, block.bytes, PROT_NONE);
  }
}

}  // namespace regroup::testing

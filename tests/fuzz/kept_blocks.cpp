// Blocks of 4 MiB (of a file's digest, of a tokenizer's cache) are kept from one input to the next. ASan would map and unmap
// each of them, which takes ten times as long as all the rest. A block that is free stays poisoned.
#include <sanitizer/asan_interface.h>

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

constexpr size_t kBytes = size_t{4} << 20;
constexpr size_t kRedzone = 4096;

struct Block {
  void* memory = nullptr;
  bool taken = false;
};
Block blocks[4];

void* take_block() {
  for (Block& block : blocks) {
    if (block.taken) continue;
    if (block.memory == nullptr) {
      block.memory = std::aligned_alloc(kRedzone, kBytes + kRedzone);
      if (block.memory == nullptr) return nullptr;
      ASAN_POISON_MEMORY_REGION(block.memory, kBytes + kRedzone);
    }
    block.taken = true;
    ASAN_UNPOISON_MEMORY_REGION(block.memory, kBytes);
    return block.memory;
  }
  return nullptr;
}

bool give_back(void* memory) {
  for (Block& block : blocks) {
    if (memory == nullptr || block.memory != memory) continue;
    block.taken = false;
    ASAN_POISON_MEMORY_REGION(memory, kBytes);
    return true;
  }
  return false;
}

void* allocate(size_t bytes, size_t alignment) {
  if (bytes == kBytes && alignment <= kRedzone) {
    if (void* memory = take_block()) return memory;
  }
  void* memory = nullptr;
  if (::posix_memalign(&memory, alignment, bytes) != 0) throw std::bad_alloc();
  return memory;
}

void release(void* memory) {
  if (!give_back(memory)) std::free(memory);
}

}  // namespace

void* operator new(size_t bytes) { return allocate(bytes, alignof(std::max_align_t)); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return std::malloc(bytes); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { release(memory); }
void operator delete(void* memory, size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { release(memory); }

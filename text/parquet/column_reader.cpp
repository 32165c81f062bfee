#include "column_reader.h"

#include <fmt/format.h>

#include <bit>
#include <nlohmann/json.hpp>

#include "parquet_errors.h"
#include "regroup/base/printable.h"
#include "regroup/base/stop_signal.h"

namespace regroup::parquet {
namespace {

constexpr int64_t kMaxHeld = int64_t{1} << 30;

std::string place_of(const InputFile& file, const Leaf& leaf) {
  return fmt::format("{} column {}", file.path(), printable(leaf.name, 100));
}

unsigned bits_of(int max) {
  return static_cast<unsigned>(std::bit_width(static_cast<unsigned>(max)));
}

}  // namespace

void PageMemory::exchange(int64_t before, int64_t now, const std::string& place) {
  if (now > before && held_ - before + now > kMaxHeld) {
    refuse("PARQUET_LIMIT", place,
           fmt::format("a page of each column must take at most {} bytes together, found more",
                       kMaxHeld),
           kWriteLines);
  }
  held_ += now - before;
}

ColumnReader::ColumnReader(const InputFile& file, const Chunk& chunk, const Leaf& leaf, int64_t end,
                           PageMemory& memory)
    : leaf_(leaf),
      place_(place_of(file, leaf)),
      memory_(memory),
      pages_(file, chunk, leaf, end, place_),
      left_(chunk.n_values) {
  if (chunk.is_encrypted) refuse_unsupported(place_, "must not be encrypted, found that it is");
  if (chunk.is_elsewhere) refuse_unsupported(place_, "must lie in this file, found another's name");
  if (chunk.type != static_cast<int32_t>(leaf.type)) {
    refuse("PARQUET_SCHEMA", place_, "must have the type of the schema, found another");
  }
  advance();
}

ColumnReader::~ColumnReader() { memory_.exchange(held_, 0, place_); }

void ColumnReader::hold(int64_t bytes) {
  memory_.exchange(held_, bytes, place_);
  held_ = bytes;
}

Json ColumnReader::take() {
  if (is_at_end_ || definition_ != leaf_.max_definition) refuse_levels();
  Json value = values_->next();
  advance();
  return value;
}

void ColumnReader::pass(int definition) {
  if (is_at_end_ || definition_ >= definition) refuse_levels();
  advance();
}

void ColumnReader::refuse_levels() const {
  refuse("PARQUET_LEVELS", place_,
         is_at_end_
             ? "its repetition and definition levels must describe as many records as those "
               "of the other columns, and end before them"
             : fmt::format("its repetition and definition levels must fit those of the other "
                           "columns, found definition level {} of at most {}",
                           definition_, leaf_.max_definition));
}

int ColumnReader::level(RleHybrid& levels, int max) const {
  if (max == 0) return 0;
  const uint32_t found = levels.next();
  if (found <= static_cast<uint32_t>(max)) return static_cast<int>(found);
  refuse("PARQUET_LEVELS", place_,
         fmt::format("must have levels of at most {}, found {}", max, found));
}

void ColumnReader::advance() {
  while (left_in_page_ == 0) {
    if (left_ == 0) {
      is_at_end_ = true;
      repetition_ = definition_ = 0;
      return;
    }
    open_page();
  }
  --left_in_page_;
  repetition_ = level(repetition_levels_, leaf_.max_repetition);
  definition_ = level(definition_levels_, leaf_.max_definition);
}

void ColumnReader::open_page() {
  throw_if_stopped(/*resumable=*/false);
  if (pages_.left() == 0) {
    refuse("PARQUET_PAGE", place_, fmt::format("must hold {} more values, found no page", left_));
  }
  Page page = pages_.next();
  if (page.is_dictionary) return open_dictionary(std::move(page));
  open_data(std::move(page));
}

void ColumnReader::open_dictionary(Page page) {
  if (dictionary_ || values_) {
    refuse("PARQUET_PAGE", place_, "must have one dictionary, in front of its pages");
  }
  dictionary_.emplace(std::move(page), leaf_.kind, place_);
  hold(dictionary_->bytes());
}

void ColumnReader::open_data(Page page) {
  if (page.n_values > left_) {
    refuse(
        "PARQUET_PAGE", place_,
        fmt::format("its pages must hold the values of its description, found {} where {} are left",
                    page.n_values, left_));
  }
  page_ = std::move(page);
  hold(static_cast<int64_t>(page_.bytes.size()) + (dictionary_ ? dictionary_->bytes() : 0));
  left_in_page_ = page_.n_values;
  left_ -= page_.n_values;
  repetition_levels_ = {page_.repetition_levels(), bits_of(leaf_.max_repetition), place_};
  definition_levels_ = {page_.definition_levels(), bits_of(leaf_.max_definition), place_};
  values_ = make_decoder(page_.encoding, leaf_.kind, page_.values(),
                         dictionary_ ? &*dictionary_ : nullptr, place_);
}

}  // namespace regroup::parquet

// How the pieces a snapshot is made of go into a checkpoint and come out of it: numbers, arrays and pages.
//
// Out and In have one interface, so that a structure names its parts once (HashIndex::each_part). What In
// reads is checked for what would make memory be touched that is not there; In::bad() is for the rest.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "array.h"
#include "checkpoint_file.h"
#include "paged.h"

namespace reflex::checkpoint {

class Out {
 public:
  explicit Out(CheckpointWriter* to) : to_(*to) {}

  void raw(const void* data, size_t size) { to_.write(data, size); }

  template <typename T>
    requires std::is_trivially_copyable_v<T>
  void part(const T& value) {
    raw(&value, sizeof value);
  }
  template <typename T>
  void part(const std::vector<T>& values) {
    part(static_cast<uint64_t>(values.size()));
    raw(values.data(), values.size() * sizeof(T));
  }
  template <typename T>
  void part(const Array<T>& values) {
    part(static_cast<uint64_t>(values.size()));
    const size_t bytes = values.size() * sizeof(T);
    if (bytes >= kOwnBlockBytes) {
      to_.write_own_block(values.data(), bytes);
    } else {
      raw(values.data(), bytes);
    }
  }
  template <typename T, uint32_t kShift>
  void part(const Paged<T, kShift>& pages) {
    constexpr size_t kPage = Paged<T, kShift>::kPage;
    part(static_cast<uint64_t>(pages.size()));
    for (size_t first = 0; first < pages.size(); first += kPage) {
      const T* run = pages.run(first);
      part(static_cast<uint8_t>(run != nullptr));
      if (run != nullptr) raw(run, kPage * sizeof(T));
    }
  }
  bool failed() const { return to_.failed(); }

 private:
  CheckpointWriter& to_;
};

class In {
 public:
  In(CheckpointReader* from, Edit* edit) : from_(*from), edit_(*edit) {}

  bool good() const { return good_; }
  void bad() { good_ = false; }
  void require(bool truth) { good_ = good_ && truth; }

  template <typename T>
    requires std::is_trivially_copyable_v<T>
  void part(T& value) {
    good_ = good_ && from_.read(&value, sizeof value);
  }
  template <typename T>
  void part(std::vector<T>& values) {
    values.clear();
    const uint64_t count = this->count(sizeof(T));
    if (!good_ || count == 0) return;
    values.resize(count);
    good_ = from_.read(values.data(), count * sizeof(T));
  }
  // A long one stays in the file.
  template <typename T>
  void part(Array<T>& values) {
    const uint64_t count = this->count(sizeof(T));
    if (!good_) return;
    if (count * sizeof(T) < kOwnBlockBytes) {
      std::vector<T> own(count);
      good_ = from_.read(own.data(), count * sizeof(T));
      values = std::move(own);
      return;
    }
    const void* data = from_.own_block(count * sizeof(T));
    good_ = data != nullptr;
    if (!good_) return;
    values.borrow(static_cast<const T*>(data), count);
    borrowed_ = true;
  }
  template <typename T, uint32_t kShift>
  void part(Paged<T, kShift>& pages) {
    constexpr size_t kPage = Paged<T, kShift>::kPage;
    uint64_t size = 0;
    part(size);
    require(size <= most_);
    if (!good_) return;
    pages.grow(size);
    for (size_t first = 0; first < size && good_; first += kPage) {
      uint8_t present = 0;
      part(present);
      if (good_ && present != 0) good_ = from_.read(&pages.at(first, &edit_), kPage * sizeof(T));
    }
  }

  // A number of things to come, each of at least so many bytes.
  uint64_t count(size_t bytes) {
    uint64_t value = 0;
    part(value);
    require(value <= from_.left() / bytes);
    return good_ ? value : 0;
  }

  // Who keeps what was borrowed since the last call; nobody where nothing was.
  std::shared_ptr<const void> lender() { return std::exchange(borrowed_, false) ? from_.file() : nullptr; }

  // From now on, arrays of pages have at most so many entries.
  void set_most(uint64_t entries) { most_ = entries; }
  uint64_t left() const { return from_.left(); }
  Edit* edit() { return &edit_; }

 private:
  CheckpointReader& from_;
  Edit& edit_;
  uint64_t most_ = 0;
  bool good_ = true;
  bool borrowed_ = false;
};

}  // namespace reflex::checkpoint

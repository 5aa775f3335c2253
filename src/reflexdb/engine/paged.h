// An array cut into pages that versions share: a new version copies the directory and the pages it writes to.
//
// A version that has been handed out is immutable and may be read by any thread. Writing takes an Edit, which
// belongs to one thread and to one version in the making: pages that it made are written in place, all others
// are copied first. Whoever drops the version drops what the Edit made; nothing else was touched.
#pragma once

#include <array>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace reflex {

// One change in the making, and what it costs.
struct Edit {
  uint64_t id = 0;    // of no other edit of this process; 0 is none
  int64_t grown = 0;  // bytes by which the new version is larger
  uint64_t made = 0;  // bytes that it does not share with the former one

  static uint64_t new_id() {
    static std::atomic<uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
  }
  void replaced(size_t before, size_t now) {
    grown += static_cast<int64_t>(now) - static_cast<int64_t>(before);
    made += now;
  }
};

template <typename T, uint32_t kShift>
class Paged {
 public:
  static constexpr size_t kPage = size_t{1} << kShift;

  Paged() = default;
  // `rest` is what an entry is before it is written.
  explicit Paged(T rest) : rest_(std::move(rest)) {}

  size_t size() const { return size_; }
  // Requires: i < size().
  const T& get(size_t i) const {
    const Page* page = pages_[i >> kShift].get();
    return page != nullptr ? page->values[i & (kPage - 1)] : rest_;
  }

  // Where `get` finds entry `i`. Requires: i < size().
  const T* place(size_t i) const { return &get(i); }
  // The entries from `i` to the end of its page, one after the other; null where none of them was ever
  // written.
  const T* run(size_t i) const {
    const Page* page = pages_[i >> kShift].get();
    return page != nullptr ? page->values.data() + (i & (kPage - 1)) : nullptr;
  }

  // Room for entries [0, size); never gets smaller.
  void grow(size_t size) {
    if (size <= size_) return;
    size_ = size;
    pages_.resize((size + kPage - 1) >> kShift);
  }

  // An entry to be written now.
  T& at(size_t i, Edit* edit) {
    assert(i < size_);
    std::shared_ptr<Page>& page = pages_[i >> kShift];
    if (page == nullptr) {
      page = std::make_shared<Page>();
      page->values.fill(rest_);
      edit->replaced(0, sizeof(Page));
    } else if (page->edit != edit->id) {
      page = std::make_shared<Page>(*page);
      edit->replaced(sizeof(Page), sizeof(Page));
    }
    page->edit = edit->id;
    return page->values[i & (kPage - 1)];
  }

  uint64_t memory() const {
    uint64_t total = pages_.capacity() * sizeof(pages_[0]);
    for (const auto& page : pages_) total += page != nullptr ? sizeof(Page) : 0;
    return total;
  }

 private:
  struct Page {
    uint64_t edit = 0;
    std::array<T, kPage> values;
  };

  std::vector<std::shared_ptr<Page>> pages_;
  size_t size_ = 0;
  T rest_{};
};

}  // namespace reflex

// A FlatBuffer, written back to front as the format wants it: what stands first is written last. Just enough
// for Arrow's messages.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reflex {

class FlatBuffer {
 public:
  using Ref = uint32_t;  // where something starts, counted from the end

  Ref text(std::string_view text) {
    align(4, text.size() + 1);
    bytes_.push_back('\0');
    bytes_.append(text.rbegin(), text.rend());
    return scalar(static_cast<uint32_t>(text.size()));
  }
  Ref references(const std::vector<Ref>& refs) {
    align(4, 0);
    for (size_t i = refs.size(); i > 0; --i) reference(refs[i - 1]);
    return scalar(static_cast<uint32_t>(refs.size()));
  }
  // Structs of two numbers.
  Ref pairs(const std::vector<std::pair<int64_t, int64_t>>& pairs) {
    align(8, 0);
    for (size_t i = pairs.size(); i > 0; --i) {
      scalar(pairs[i - 1].second);
      scalar(pairs[i - 1].first);
    }
    return scalar(static_cast<uint32_t>(pairs.size()));
  }

  // Between begin() and end() a table's fields, by their slots. Everything they refer to is written before.
  void begin() {
    slots_.clear();
    begin_ = size();
  }
  template <typename T>
  void field(size_t slot, T value) {
    note(slot, scalar(value));
  }
  void reference_field(size_t slot, Ref to) {
    align(4, 0);
    note(slot, reference(to));
  }
  Ref end() {
    const auto slots = static_cast<uint32_t>(slots_.size());
    const Ref table = scalar(static_cast<int32_t>(4 + 2 * slots));
    for (size_t i = slots_.size(); i > 0; --i) {
      scalar(static_cast<uint16_t>(slots_[i - 1] == 0 ? 0 : table - slots_[i - 1]));
    }
    scalar(static_cast<uint16_t>(table - begin_));
    scalar(static_cast<uint16_t>(4 + 2 * slots));
    return table;
  }

  // The buffer, whose length is a multiple of 8.
  std::string finish(Ref root) {
    align(8, 4);
    reference(root);
    return {bytes_.rbegin(), bytes_.rend()};
  }

 private:
  Ref size() const { return static_cast<Ref>(bytes_.size()); }

  // So that after `more` bytes the next are at a multiple of `to`.
  void align(size_t to, size_t more) {
    while ((bytes_.size() + more) % to != 0) bytes_.push_back('\0');
  }
  template <typename T>
  Ref scalar(T value) {
    align(sizeof(T), 0);
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    for (size_t i = sizeof(T); i > 0; --i) bytes_.push_back(raw[i - 1]);
    return size();
  }
  Ref reference(Ref to) { return scalar(static_cast<uint32_t>(size() + 4 - to)); }
  void note(size_t slot, Ref at) {
    if (slots_.size() <= slot) slots_.resize(slot + 1);
    slots_[slot] = at;
  }

  std::string bytes_;  // the last byte first
  std::vector<Ref> slots_;
  Ref begin_ = 0;
};

}  // namespace reflex

// Values in a row: our own, as in a vector, or somebody else's, who keeps them where they are (a checkpoint's
// file). Reading is the same for both; only our own can grow and change.
#pragma once

#include <cassert>
#include <cstddef>
#include <utility>
#include <vector>

namespace reflex {

template <typename T>
class Array {
 public:
  Array() = default;
  Array(const Array&) = delete;
  Array& operator=(const Array& from) {
    if (this == &from) return *this;
    assert(!from.is_borrowed());
    return *this = std::vector<T>(from.own_);
  }
  Array& operator=(std::vector<T>&& values) {
    own_ = std::move(values);
    refresh();
    return *this;
  }
  // What lies at `data` stays there for as long as this is used.
  void borrow(const T* data, size_t size) {
    own_ = std::vector<T>();  // {} alone would keep its memory
    data_ = data;
    size_ = size;
  }
  bool is_borrowed() const { return data_ != own_.data(); }

  const T* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  const T& operator[](size_t i) const {
    assert(i < size_);
    return data_[i];
  }
  const T& back() const { return (*this)[size_ - 1]; }
  // How many there is room for: of what is borrowed, as many as there are.
  size_t capacity() const { return is_borrowed() ? size_ : own_.capacity(); }
  // How many of our own there is room for.
  size_t own_capacity() const { return own_.capacity(); }

  // Of our own:
  T* edit() {
    assert(!is_borrowed());
    return own_.data();
  }
  void push_back(const T& value) {
    assert(!is_borrowed());
    own_.push_back(value);
    refresh();
  }
  template <typename From>
  void append(From from, From to) {
    assert(!is_borrowed());
    own_.insert(own_.end(), from, to);
    refresh();
  }
  void resize(size_t size) {
    assert(!is_borrowed());
    own_.resize(size);
    refresh();
  }
  void shrink_to_fit() {
    assert(!is_borrowed());
    own_.shrink_to_fit();
    refresh();
  }
  void clear() { *this = std::vector<T>(); }

 private:
  void refresh() {
    data_ = own_.data();
    size_ = own_.size();
  }

  std::vector<T> own_;
  const T* data_ = own_.data();
  size_t size_ = 0;
};

}  // namespace reflex

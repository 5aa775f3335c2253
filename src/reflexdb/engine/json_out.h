// Writing JSON: strings with escapes, and a buffered writer for answers whose text is mostly copied.
//
// A Writer borrows the string it fills; short pieces go through its own buffer, so that a field costs no
// capacity check of the string.
#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

namespace reflex {

// Appends `text` as a JSON string with its quotes. Requires: valid UTF-8.
void append_json_string(std::string* out, std::string_view text);

// As memcpy, but without a call for the short pieces that answers are made of: two moves that overlap.
inline void copy_piece(char* to, const char* from, size_t size) {
  if (size > 32) {
    std::memcpy(to, from, size);
  } else if (size >= 16) {
    char head[16];
    char tail[16];
    std::memcpy(head, from, 16);
    std::memcpy(tail, from + size - 16, 16);
    std::memcpy(to, head, 16);
    std::memcpy(to + size - 16, tail, 16);
  } else if (size >= 8) {
    std::memcpy(to, from, 8);
    std::memcpy(to + size - 8, from + size - 8, 8);
  } else if (size >= 4) {
    std::memcpy(to, from, 4);
    std::memcpy(to + size - 4, from + size - 4, 4);
  } else {
    for (size_t i = 0; i < size; ++i) to[i] = from[i];
  }
}

// The value in decimal; `to` has room for 20 characters.
char* write_integer(uint64_t value, char* to);

class Writer {
 public:
  static constexpr size_t kBuffer = 64 << 10;
  static constexpr size_t kRoom = 512;  // what `reserve` guarantees for unchecked puts

  Writer() : buffer_(new char[kBuffer]) {}
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void start(std::string* out) {
    out_ = out;
    used_ = 0;
    flushed_ = 0;
  }
  uint64_t written() const { return flushed_ + used_; }
  void finish() { flush(); }
  void forget() { used_ = 0; }

  void put(char c) {
    if (used_ == kBuffer) flush();
    buffer_[used_++] = c;
  }
  void put(std::string_view text) {
    if (text.size() > kBuffer - used_) [[unlikely]] {
      put_slow(text);
      return;
    }
    copy_piece(buffer_.get() + used_, text.data(), text.size());
    used_ += text.size();
  }
  // A pointer to at least kRoom bytes; tell `advance` where writing ended.
  char* reserve() {
    if (kBuffer - used_ < kRoom) flush();
    return buffer_.get() + used_;
  }
  void advance(const char* end) { used_ = static_cast<size_t>(end - buffer_.get()); }

  template <std::floating_point T>
  void number(T value) {
    char* at = reserve();
    advance(std::to_chars(at, at + kRoom, value).ptr);
  }
  template <std::integral T>
  void number(T value) {
    char* at = reserve();
    auto magnitude = static_cast<uint64_t>(value);
    if constexpr (std::signed_integral<T>) {
      if (value < 0) {
        *at++ = '-';
        magnitude = 0 - magnitude;
      }
    }
    advance(write_integer(magnitude, at));
  }
  void escaped(std::string_view text);  // with quotes
  void quoted(std::string_view text) {  // needs no escaping
    if (text.size() + 2 > kBuffer - used_) [[unlikely]] {
      put('"');
      put(text);
      put('"');
      return;
    }
    char* to = buffer_.get() + used_;
    to[0] = '"';
    copy_piece(to + 1, text.data(), text.size());
    to[text.size() + 1] = '"';
    used_ += text.size() + 2;
  }
  void base64(std::string_view bytes);  // with quotes
  void uuid(std::string_view bytes);    // with quotes

 private:
  void flush();
  void escape_part(std::string_view text);
  void put_slow(std::string_view text);

  std::unique_ptr<char[]> buffer_;
  size_t used_ = 0;
  uint64_t flushed_ = 0;
  std::string* out_ = nullptr;
};

}  // namespace reflex

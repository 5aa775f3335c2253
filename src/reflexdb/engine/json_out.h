// Writing JSON: strings with escapes, and a buffered writer for answers whose text is mostly copied.
//
// A Writer borrows the string it fills; short pieces go through its own buffer, so that a field costs no
// capacity check of the string.
#pragma once

#include <charconv>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace reflex {

// Appends `text` as a JSON string with its quotes. Requires: valid UTF-8.
void append_json_string(std::string* out, std::string_view text);

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
    text.copy(buffer_.get() + used_, text.size());  // an empty view may have no address
    used_ += text.size();
  }
  // A pointer to at least kRoom bytes; tell `advance` where writing ended.
  char* reserve() {
    if (kBuffer - used_ < kRoom) flush();
    return buffer_.get() + used_;
  }
  void advance(const char* end) { used_ = static_cast<size_t>(end - buffer_.get()); }

  template <typename T>
  void number(T value) {
    char* at = reserve();
    advance(std::to_chars(at, at + kRoom, value).ptr);
  }
  void escaped(std::string_view text);  // with quotes
  void quoted(std::string_view text) {  // needs no escaping
    put('"');
    put(text);
    put('"');
  }
  void base64(std::string_view bytes);  // with quotes
  void uuid(std::string_view bytes);    // with quotes

 private:
  void flush();
  void put_slow(std::string_view text);

  std::unique_ptr<char[]> buffer_;
  size_t used_ = 0;
  uint64_t flushed_ = 0;
  std::string* out_ = nullptr;
};

}  // namespace reflex

#include "json_check.h"

#include <bitset>
#include <cstddef>

namespace reflex {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

class Checker {
 public:
  explicit Checker(std::string_view text) : p_(text.data()), end_(text.data() + text.size()) {}

  bool run() {
    bool want_value = true;
    while (true) {
      space();
      if (want_value) {
        if (!value(&want_value)) return false;
        continue;
      }
      if (depth_ == 0) return p_ == end_;
      if (!after_value(&want_value)) return false;
    }
  }

 private:
  void space() {
    while (p_ < end_ && (*p_ == ' ' || *p_ == '\n' || *p_ == '\t' || *p_ == '\r')) ++p_;
  }

  bool take(char c) {
    if (p_ == end_ || *p_ != c) return false;
    ++p_;
    return true;
  }

  // A scalar, or the opening of a container; then `*want_value` says whether its first value comes next.
  bool value(bool* want_value) {
    if (p_ == end_) return false;
    switch (*p_) {
      case '{':
      case '[':
        return open(*p_ == '{', want_value);
      case '"':
        *want_value = false;
        return string();
      case 't':
        *want_value = false;
        return word("true");
      case 'f':
        *want_value = false;
        return word("false");
      case 'n':
        *want_value = false;
        return word("null");
      default:
        *want_value = false;
        return number();
    }
  }

  bool open(bool object, bool* want_value) {
    if (depth_ == kMaxJsonLevels) return false;
    ++p_;
    is_object_[static_cast<size_t>(depth_++)] = object;
    space();
    if (take(object ? '}' : ']')) {
      --depth_;
      *want_value = false;
      return true;
    }
    *want_value = true;
    return object ? key() : true;
  }

  bool after_value(bool* want_value) {
    const bool object = is_object_[static_cast<size_t>(depth_ - 1)];
    if (take(object ? '}' : ']')) {
      --depth_;
      return true;
    }
    if (!take(',')) return false;
    space();
    *want_value = true;
    return object ? key() : true;
  }

  bool key() {
    if (p_ == end_ || *p_ != '"' || !string()) return false;
    space();
    return take(':');
  }

  bool word(std::string_view expected) {
    if (static_cast<size_t>(end_ - p_) < expected.size()) return false;
    if (std::string_view(p_, expected.size()) != expected) return false;
    p_ += expected.size();
    return true;
  }

  bool string() {
    ++p_;
    while (p_ < end_) {
      const char c = *p_++;
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c == '\\' && !escape()) return false;
    }
    return false;
  }

  bool escape() {
    if (p_ == end_) return false;
    const char c = *p_++;
    if (c != 'u') return std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos;
    for (int i = 0; i < 4; ++i) {
      if (p_ == end_ || !is_hex(*p_)) return false;
      ++p_;
    }
    return true;
  }

  bool digits() {
    if (p_ == end_ || !is_digit(*p_)) return false;
    while (p_ < end_ && is_digit(*p_)) ++p_;
    return true;
  }

  bool number() {
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (p_ < end_ && (*p_ == 'e' || *p_ == 'E')) {
      ++p_;
      if (!take('+')) take('-');
      return digits();
    }
    return true;
  }

  const char* p_;
  const char* end_;
  int depth_ = 0;
  std::bitset<kMaxJsonLevels> is_object_;
};

}  // namespace

bool json_valid(std::string_view text) { return Checker(text).run(); }

}  // namespace reflex

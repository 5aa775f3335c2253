#include "json_doc.h"

#include <charconv>

namespace reflex::net {
namespace {

constexpr int kMaxDepth = 32;

// Length of the UTF-8 sequence at the start of `s`, 0 where it is none.
size_t utf8_length(std::string_view s) {
  auto byte = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
  auto follows = [&](size_t i) { return i < s.size() && (byte(i) & 0xC0) == 0x80; };
  uint8_t first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (!follows(1) || !follows(2)) return 0;
    if (first == 0xE0 && byte(1) < 0xA0) return 0;
    if (first == 0xED && byte(1) > 0x9F) return 0;
    return 3;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (!follows(1) || !follows(2) || !follows(3)) return 0;
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) > 0x8F) return 0;
    return 4;
  }
  return 0;
}

void append_utf8(std::string* out, uint32_t code) {
  if (code < 0x80) {
    *out += static_cast<char>(code);
  } else if (code < 0x800) {
    *out += static_cast<char>(0xC0 | (code >> 6));
    *out += static_cast<char>(0x80 | (code & 63));
  } else if (code < 0x10000) {
    *out += static_cast<char>(0xE0 | (code >> 12));
    *out += static_cast<char>(0x80 | ((code >> 6) & 63));
    *out += static_cast<char>(0x80 | (code & 63));
  } else {
    *out += static_cast<char>(0xF0 | (code >> 18));
    *out += static_cast<char>(0x80 | ((code >> 12) & 63));
    *out += static_cast<char>(0x80 | ((code >> 6) & 63));
    *out += static_cast<char>(0x80 | (code & 63));
  }
}

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  bool document(JsonValue* value) {
    if (!any(value, 0)) return false;
    skip_space();
    return rest_.empty();
  }

 private:
  void skip_space() {
    size_t n = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(n == std::string_view::npos ? rest_.size() : n);
  }

  bool take(char c) {
    skip_space();
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool word(std::string_view w) {
    if (!rest_.starts_with(w)) return false;
    rest_.remove_prefix(w.size());
    return true;
  }

  bool any(JsonValue* value, int depth) {
    if (depth > kMaxDepth) return false;
    skip_space();
    if (rest_.empty()) return false;
    switch (rest_[0]) {
      case '{':
        return object(value, depth);
      case '[':
        return array(value, depth);
      case '"':
        value->kind = JsonValue::Kind::kString;
        return string(&value->text);
      case 't':
        value->kind = JsonValue::Kind::kBool;
        value->boolean = true;
        return word("true");
      case 'f':
        value->kind = JsonValue::Kind::kBool;
        return word("false");
      case 'n':
        return word("null");
      default:
        return number(value);
    }
  }

  bool object(JsonValue* value, int depth) {
    value->kind = JsonValue::Kind::kObject;
    rest_.remove_prefix(1);
    if (take('}')) return true;
    do {
      skip_space();
      value->members.emplace_back();
      auto& [name, member] = value->members.back();
      if (rest_.empty() || rest_[0] != '"' || !string(&name) || !take(':') || !any(&member, depth + 1))
        return false;
    } while (take(','));
    return take('}');
  }

  bool array(JsonValue* value, int depth) {
    value->kind = JsonValue::Kind::kArray;
    rest_.remove_prefix(1);
    if (take(']')) return true;
    do {
      value->items.emplace_back();
      if (!any(&value->items.back(), depth + 1)) return false;
    } while (take(','));
    return take(']');
  }

  size_t digits() {
    size_t n = 0;
    while (n < rest_.size() && rest_[n] >= '0' && rest_[n] <= '9') ++n;
    rest_.remove_prefix(n);
    return n;
  }

  bool number(JsonValue* value) {
    const char* begin = rest_.data();
    bool whole = true;
    word("-");
    if (!word("0") && digits() == 0) return false;
    if (word(".")) {
      whole = false;
      if (digits() == 0) return false;
    }
    if (word("e") || word("E")) {
      whole = false;
      if (!word("+")) word("-");
      if (digits() == 0) return false;
    }
    value->kind = whole ? JsonValue::Kind::kInteger : JsonValue::Kind::kReal;
    if (!whole) return true;
    // A whole number beyond 64 bits is still a number; nobody asks for its value.
    if (std::from_chars(begin, rest_.data(), value->integer).ec != std::errc())
      value->kind = JsonValue::Kind::kReal;
    return true;
  }

  bool hex4(uint32_t* code) {
    if (rest_.size() < 4) return false;
    auto [end, status] = std::from_chars(rest_.data(), rest_.data() + 4, *code, 16);
    if (status != std::errc() || end != rest_.data() + 4) return false;
    rest_.remove_prefix(4);
    return true;
  }

  bool escape(std::string* out) {
    if (rest_.empty()) return false;
    char c = rest_[0];
    rest_.remove_prefix(1);
    static constexpr std::string_view kFrom = "\"\\/bfnrt";
    static constexpr std::string_view kTo = "\"\\/\b\f\n\r\t";
    if (size_t i = kFrom.find(c); i != std::string_view::npos) {
      *out += kTo[i];
      return true;
    }
    uint32_t code = 0;
    if (c != 'u' || !hex4(&code)) return false;
    if (code >= 0xDC00 && code <= 0xDFFF) return false;
    if (code >= 0xD800 && code <= 0xDBFF) {
      uint32_t low = 0;
      if (!word("\\u") || !hex4(&low) || low < 0xDC00 || low > 0xDFFF) return false;
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    append_utf8(out, code);
    return true;
  }

  bool string(std::string* out) {
    rest_.remove_prefix(1);
    while (!rest_.empty()) {
      char c = rest_[0];
      if (c == '"') {
        rest_.remove_prefix(1);
        return true;
      }
      if (static_cast<uint8_t>(c) < 0x20) return false;
      if (c == '\\') {
        rest_.remove_prefix(1);
        if (!escape(out)) return false;
        continue;
      }
      size_t n = utf8_length(rest_);
      if (n == 0) return false;
      out->append(rest_.substr(0, n));
      rest_.remove_prefix(n);
    }
    return false;
  }

  std::string_view rest_;
};

}  // namespace

const JsonValue* JsonValue::find(std::string_view name) const {
  for (const auto& [member, value] : members) {
    if (member == name) return &value;
  }
  return nullptr;
}

bool parse_json(std::string_view text, JsonValue* value) { return Parser(text).document(value); }

void append_quoted(std::string* out, std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  *out += '"';
  while (!text.empty()) {
    uint8_t c = static_cast<uint8_t>(text[0]);
    size_t n = utf8_length(text);
    if (n == 0) {
      *out += "\xEF\xBF\xBD";
      n = 1;
    } else if (c == '"' || c == '\\') {
      *out += '\\';
      *out += text[0];
    } else if (c < 0x20) {
      *out += "\\u00";
      *out += kDigits[c >> 4];
      *out += kDigits[c & 15];
    } else {
      out->append(text.substr(0, n));
    }
    text.remove_prefix(n);
  }
  *out += '"';
}

}  // namespace reflex::net
